#!/usr/bin/env bash
# A new version of the service without an outage: new replicas beside the old ones, then the old ones drained. HAProxy stays as it is.
#   make upgrade                                 builds the image
#   make upgrade BUILD=0 IMAGE=registry/c3d:2    takes one that is built
# COMPOSE_FILE: the compose files of the running stack, with a colon between them.
set -euo pipefail
cd "$(dirname "$0")/.."
export COMPOSE_FILE="${COMPOSE_FILE:-docker-compose.yml:deploy/docker-compose.haproxy.yml}"

if [ -z "$(docker compose ps --quiet haproxy 2>/dev/null)" ]; then
  echo "No HAProxy is running, so the port belongs to one replica, and a new one cannot take it over. Start the stack with make up," \
    "once; from then on make upgrade costs no request." >&2
  exit 1
fi
mapfile -t old < <(docker compose ps --quiet service)
count=${#old[@]}

if [ "${BUILD:-1}" = 1 ]; then docker compose build --quiet service; fi
echo "Starting $count new replicas beside the $count old ones." >&2
docker compose up --detach --no-deps --no-recreate --no-build --scale "service=$((2 * count))" service
mapfile -t new < <(docker compose ps --all --quiet service | grep -vxF "$(printf '%s\n' "${old[@]}")")
# All new ones have to be healthy: a version that does not start leaves the old replicas alone.
for each in "${new[@]}"; do
  while state=$(docker inspect --format '{{.State.Health.Status}} {{.RestartCount}}' "$each"); [ "$state" != "healthy 0" ]; do
    if [ "$state" != "starting 0" ]; then
      docker logs --tail 5 "$each" >&2
      docker rm --force "${new[@]}" >/dev/null
      echo "The new replicas do not start, and are gone again. The old ones serve on." >&2
      exit 1
    fi
    sleep 1
  done
done
echo "Draining the old ones." >&2
docker stop "${old[@]}" >/dev/null # all at once; each finishes what it has
docker rm "${old[@]}" >/dev/null
docker compose up --detach --no-deps --no-recreate --no-build --scale "service=$count" service
echo "$count replicas of the new version serve." >&2
