#!/bin/sh
# Users and roles at etcd for a fleet under /waypost/prod. The passwords come from the environment.
set -eu
: "${ROOT_PASSWORD:?}" "${GATEWAY_PASSWORD:?}" "${READER_PASSWORD:?}"
export ETCDCTL_API=3

# Instances that take commands: all keys of the fleet, and no others.
etcdctl role add waypost
etcdctl role grant-permission waypost --prefix=true readwrite /waypost/prod/
etcdctl user add "waypost:$GATEWAY_PASSWORD"
etcdctl user grant-role waypost waypost

# Backups with `waypost export --from`, and monitoring: they change nothing.
etcdctl role add waypost-reader
etcdctl role grant-permission waypost-reader --prefix=true read /waypost/prod/
etcdctl user add "waypost-reader:$READER_PASSWORD"
etcdctl user grant-role waypost-reader waypost-reader

etcdctl role add root
etcdctl user add "root:$ROOT_PASSWORD"
etcdctl user grant-role root root
etcdctl auth enable
