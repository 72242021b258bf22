//! Texts that one transaction changed count together.

use std::collections::BTreeSet;

use waypost_fleet::store::Write;

use super::*;

fn names(names: &[&str]) -> BTreeSet<ConfigName> {
    names.iter().map(|name| ConfigName::new(name).unwrap()).collect()
}

fn put(name: &str, text: &str) -> Write {
    Write::Put {
        key: key(&format!("config/{name}")),
        value: text.into(),
    }
}

fn delete(name: &str) -> Write {
    Write::Delete {
        key: key(&format!("config/{name}")),
    }
}

#[test]
fn texts_of_one_transaction_count_together_and_others_do_not() {
    let mut world = World::new();
    world.store.write(&[
        put("a.yaml", "1"),
        put("b.yaml", "1"),
        put("c.yaml", "1"),
        put("d.yaml", "1"),
    ]);
    world
        .store
        .write(&[put("c.yaml", "2"), put("b.yaml", "2"), delete("d.yaml")]);
    let before = names(&["a.yaml", "b.yaml", "c.yaml", "d.yaml"]);
    let view = world.view();
    let together = |view: &View, name| view.changed_with(&names(&[name]), &before);
    assert_eq!(together(&view, "b.yaml"), names(&["b.yaml", "c.yaml", "d.yaml"]));
    assert_eq!(together(&view, "a.yaml"), names(&["a.yaml"]));
    assert_eq!(view.changed_with(&names(&[]), &before), names(&[]));
    // A text that is changed again does so for itself.
    world.store.put(&key("config/c.yaml"), "3");
    assert_eq!(together(&world.view(), "b.yaml"), names(&["b.yaml", "d.yaml"]));
    assert_eq!(together(&world.view(), "c.yaml"), names(&["c.yaml"]));
    // What was deleted before all keys were read may have gone with any.
    let mut late = Replica::new(prefix());
    late.reset(world.store.entries(), world.store.at());
    assert_eq!(together(&late.view(), "a.yaml"), names(&["a.yaml", "d.yaml"]));
    // What is there again was not deleted.
    world.store.put(&key("config/d.yaml"), "2");
    assert_eq!(together(&world.view(), "b.yaml"), names(&["b.yaml"]));
}

#[test]
fn names_of_deleted_texts_are_bounded() {
    let mut world = World::new();
    for number in 0..300 {
        let name = format!("{number}.yaml");
        world.store.write(&[put(&name, "1")]);
        world.store.write(&[delete(&name)]);
    }
    let view = world.view();
    assert_eq!(view.config_gone.len(), 100);
    assert!(
        names(&["299.yaml"])
            .iter()
            .all(|name| view.config_gone.contains_key(name))
    );
}
