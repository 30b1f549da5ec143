#!/usr/bin/env bash
# A new version of the service without an outage: new replicas beside the old ones, then the old ones drained. HAProxy stays as it is.
#   make upgrade                          rebuilds the image
#   make upgrade IMAGE=registry/c3d:2     takes a built one
# FILES: the compose files of the running stack.
set -euo pipefail
cd "$(dirname "$0")/.."
read -ra files <<<"${FILES:--f docker-compose.yml -f deploy/docker-compose.haproxy.yml}"
compose() { docker compose "${files[@]}" "$@"; }

if [ -z "$(compose ps --quiet haproxy 2>/dev/null)" ]; then
  echo "No HAProxy is running, so one port leads to one replica, and a new one cannot take it over. Start the stack with" \
    "docker compose ${files[*]} up --detach, once; from then on make upgrade costs no request." >&2
  exit 1
fi
mapfile -t old < <(compose ps --quiet service)
count=${#old[@]}

if [ "${BUILD:-1}" = 1 ]; then compose build --quiet service; fi
echo "Starting $count new replicas beside the $count old ones." >&2
# All of them have to be healthy: an image that does not start leaves the old replicas alone.
if ! compose up --detach --no-deps --no-recreate --no-build --scale "service=$((2 * count))" --wait service; then
  mapfile -t all < <(compose ps --all --quiet service)
  for each in "${all[@]}"; do
    [[ " ${old[*]} " == *" $each "* ]] || docker rm --force "$each" >/dev/null
  done
  echo "The new replicas do not start, and are gone again. The old ones serve on. docker compose logs says why." >&2
  exit 1
fi
echo "Draining the old ones." >&2
docker stop "${old[@]}" >/dev/null # all at once; each finishes what it has
docker rm "${old[@]}" >/dev/null
compose up --detach --no-deps --no-recreate --no-build --scale "service=$count" --wait service
echo "$count replicas of the new version serve." >&2
