#!/bin/sh
# Users and roles at etcd for a fleet under /waypost/prod. The passwords come from the environment.
set -eu
: "${ROOT_PASSWORD:?}" "${GATEWAY_PASSWORD:?}" "${INSTANCE_PASSWORD:?}" "${READER_PASSWORD:?}"
export ETCDCTL_API=3

# Instances that take commands: all keys of the fleet, and no others.
etcdctl role add waypost
etcdctl role grant-permission waypost --prefix=true readwrite /waypost/prod/
etcdctl user add "waypost:$GATEWAY_PASSWORD"
etcdctl user grant-role waypost waypost

# Instances that cannot change the config, of which operators with the user `waypost` put new versions: `apply` and `rollback`
# there are refused, dials, drains and rollouts are not.
etcdctl role add waypost-instance
etcdctl role grant-permission waypost-instance --prefix=true read /waypost/prod/
for folder in texts revisions dials endpoints rollouts certificates instances leader; do
    etcdctl role grant-permission waypost-instance --prefix=true readwrite "/waypost/prod/$folder/"
done
etcdctl user add "waypost-instance:$INSTANCE_PASSWORD"
etcdctl user grant-role waypost-instance waypost-instance

# Backups with `waypost export --from`, and monitoring: they change nothing.
etcdctl role add waypost-reader
etcdctl role grant-permission waypost-reader --prefix=true read /waypost/prod/
etcdctl user add "waypost-reader:$READER_PASSWORD"
etcdctl user grant-role waypost-reader waypost-reader

etcdctl role add root
etcdctl user add "root:$ROOT_PASSWORD"
etcdctl user grant-role root root
etcdctl auth enable
