//! Certificates are the leader's to write, and what is in them is no matter of the fleet.

use waypost_fleet::proposal::Outcome;
use waypost_fleet::view::Fence;

use super::*;

fn order(sealed: Option<&str>, fence: Option<Fence>) -> Intent {
    Intent::State(State {
        certificates: [("account".to_owned(), sealed.map(str::to_owned))].into(),
        fence,
        ..State::default()
    })
}

fn fence(world: &mut World) -> Option<Fence> {
    world.view().leader().map(|leader| leader.fence)
}

fn sealed(view: &View) -> Option<&str> {
    Some(&view.certificates.get("account")?.value.sealed)
}

#[test]
fn the_leader_alone_writes_them() {
    let mut world = World::new();
    world.store.put(&key("leader/1"), "i1");
    let first = fence(&mut world);
    let view = world.view();
    assert_eq!(
        world.plan(&view, order(Some("YQ=="), None)),
        Err(PlanError::NotLeader)
    );
    world.carry_out(order(Some("YQ=="), first.clone()));
    let view = world.view();
    let late = world.plan(&view, order(Some("Yg=="), first.clone())).unwrap();
    // Another instance leads.
    world.store.delete(&key("leader/1"));
    world.store.put(&key("leader/2"), "i2");
    assert!(!world.commit(&late));
    let second = fence(&mut world);
    world.carry_out(order(Some("Yw=="), second));
    let view = world.view();
    assert_eq!(sealed(&view), Some("Yw=="));
    // The former one would not even try.
    assert_eq!(
        world.plan(&view, order(Some("ZA=="), first)),
        Err(PlanError::NotLeader)
    );
}

#[test]
fn what_was_copied_from_another_store_is_written_over() {
    let mut world = World::new();
    world.store.put(&key("leader/1"), "i1");
    world.store.put(
        &key("certificates/account"),
        r#"{"fence":1000000,"sealed":"YQ=="}"#,
    );
    let fence = fence(&mut world);
    assert_eq!(sealed(&world.view()), Some("YQ=="));
    world.carry_out(order(Some("Yg=="), fence));
    assert_eq!(sealed(&world.view()), Some("Yg=="));
}

#[test]
fn an_order_without_an_answer_is_found_out() {
    let mut world = World::new();
    world.store.put(&key("leader/1"), "i1");
    let fence = fence(&mut world);
    let view = world.view();
    let lost = world.plan(&view, order(Some("YQ=="), fence.clone())).unwrap();
    assert_eq!(lost.outcome(&world.view()), Outcome::NotDone);
    let written = world.carry_out(order(Some("Yg=="), fence.clone()));
    assert_eq!(written.outcome(&world.view()), Outcome::Done);
    world.carry_out(order(None, fence));
    assert_eq!(sealed(&world.view()), None);
}

#[test]
fn value_that_is_none_is_named_and_written_over() {
    for (value, why) in [
        ("x", "expected value"),
        (r#"{"fence":0,"sealed":"YQ=="}"#, "`fence`: it is not positive"),
        (r#"{"fence":1,"sealed":""}"#, "`sealed`: it is empty"),
        (r#"{"fence":1,"sealed":"a b"}"#, "`sealed`: it is no base64"),
    ] {
        let mut world = World::new();
        world.store.put(&key("leader/1"), "i1");
        world.store.put(&key("certificates/account"), value);
        let view = world.view();
        assert_eq!(sealed(&view), None);
        let trouble = view.troubles().next().unwrap();
        assert_eq!(trouble.key, key("certificates/account"));
        assert!(trouble.why.contains(why), "{}", trouble.why);
        let fence = fence(&mut world);
        world.carry_out(order(Some("YQ=="), fence));
        let view = world.view();
        assert_eq!((sealed(&view), view.troubles().count()), (Some("YQ=="), 0));
    }
    let mut world = World::new();
    let long = format!(r#"{{"fence":1,"sealed":"{}"}}"#, "a".repeat(300 << 10));
    world.store.put(&key("certificates/account"), long);
    let view = world.view();
    assert_eq!(view.troubles().next().unwrap().why, "`sealed`: it is too long");
}
