#!/usr/bin/env bash
# Starts every image beside the others as in production, waits for its own HEALTHCHECK, and has each do one job.
#
# build.sh calls it in namespaces of its own: a network with nothing but a loopback, so that no image can ask another
# machine for anything, and processes that end with this script.
set -euo pipefail

HERE=$(cd "$(dirname "$0")" && pwd)
DATA=$BUILD/data MODELS=$BUILD/models LOGS=$BUILD/logs
HEALTHY_WITHIN_S=300
RUN_WITHIN_S=300
PASSWORD=$(head -c 18 /dev/urandom | od -An -v -tx1 | tr -d ' \n')
SHARED=(
  PREFECT_API_URL=http://127.0.0.1:4200/api
  EARTHFIELD_PREFECT_URL=http://127.0.0.1:4200/api
  EARTHFIELD_SEARCH_URL=http://127.0.0.1:8801
  EARTHFIELD_THREADS=1
  OMP_NUM_THREADS=1
)

say() { printf '%s\n' "$*" >&2; }
fail() { say "check.sh: $*"; exit 1; }
store() { buildah --root "$BUILD/storage" --runroot "$BUILD/run" --storage-driver "$STORAGE_DRIVER" "$@"; }

# inside IMAGE [NAME=VALUE]... -- COMMAND...: a command in the container of an image, as the image's user.
inside() {
  local image=$1 given=() one
  shift
  while [[ $1 != -- ]]; do given+=("$1") && shift; done
  shift
  local options=(--isolation chroot --volume "$DATA:/data" --volume "$MODELS:/models")
  for one in "${SHARED[@]}" "${given[@]}"; do options+=(--env "$one"); done
  store run "${options[@]}" "check-$image" -- "$@"
}

# serve NAME IMAGE [NAME=VALUE]... [-- COMMAND...]: starts what the image runs by itself, or another command.
serve() {
  local name=$1 image=$2 words=("${@:3}") command
  if [[ " ${words[*]} " != *" -- "* ]]; then
    mapfile -t command < <(config_of "$image" Cmd)
    words+=(-- "${command[@]}")
  fi
  inside "$image" "${words[@]}" > "$LOGS/check-$name.log" 2>&1 &
  SERVED=$!
}

config_of() { store inspect --type image "earthfield/$1" | jq -r ".Docker.config.$2[]"; }

# Tells after how many seconds the health check of an image was content with what runs in its container.
wait_healthy() { # wait_healthy NAME IMAGE [NAME=VALUE]...
  local name=$1 image=$2 started=$SECONDS check
  mapfile -t check < <(config_of "$image" Healthcheck.Test | tail -n +2)
  until inside "$image" "${@:3}" -- "${check[@]}" > "$LOGS/check-$name-health.log" 2>&1; do
    kill -0 "$SERVED" 2> /dev/null || { tail -5 "$LOGS/check-$name.log" >&2; fail "$name ended while it started"; }
    ((SECONDS - started < HEALTHY_WITHIN_S)) || fail "$name was not healthy after $HEALTHY_WITHIN_S s"
    sleep 1
  done
  HEALTHY=$((SECONDS - started))
  say "$name: healthy after $HEALTHY s"
}

noted() { # noted IMAGE JOB STARTED: a row of the table
  printf '| %s | %s | %s |\n' "$HEALTHY" "$2" "$((SECONDS - $3))" > "$BUILD/results/$1.checked"
  say "$1: $2"
}

# flow_run IMAGE DEPLOYMENT REQUEST: asks Prefect for a run, which the worker of the deployment's pool takes up.
flow_run() {
  inside "$1" -- python - "$2" "$3" "$RUN_WITHIN_S" << 'PYTHON' || fail "$2 failed: see $LOGS"
import json, sys
from prefect.deployments import run_deployment

name, request, seconds = sys.argv[1:]
run = run_deployment(name, parameters={"request": json.loads(request)}, timeout=float(seconds), as_subflow=False)
print(f"{name}: {run.state.name} after {run.total_run_time.total_seconds():.0f} s", file=sys.stderr)
sys.exit(0 if run.state.is_completed() else 1)
PYTHON
}

make_containers() {
  local image
  rm -rf "$DATA" "$MODELS" && mkdir -p "$DATA" "$MODELS"
  chown 10001:10001 "$DATA" "$MODELS"
  for image in "$@"; do
    store from --name "check-$image" "earthfield/$image" > /dev/null
    [[ $(inside "$image" -- id -u) == 10001 ]] || fail "$image runs as another user than 10001"
    ! inside "$image" -- sh -c 'command -v cc gcc g++ clang pip uv make' > /dev/null 2>&1 \
      || fail "$image holds a compiler"
  done
}

# Prefect keeps its runs in PostgreSQL where this machine has one, as compose.yaml has it; else in SQLite.
start_database() {
  local programs
  programs=$(ls -d /usr/lib/postgresql/*/bin 2> /dev/null | tail -1)
  [[ -n $programs ]] || return 0
  rm -rf "$BUILD/database" && install --directory --owner=postgres "$BUILD/database"
  as_postgres() { (cd / && setpriv --reuid=postgres --regid=postgres --clear-groups "$@"); }
  install --mode=600 --owner=postgres <(echo "$PASSWORD") "$BUILD/database.key"
  as_postgres "$programs/initdb" -D "$BUILD/database" --auth=scram-sha-256 --username=prefect \
    --pwfile="$BUILD/database.key" > "$LOGS/check-database.log" 2>&1
  as_postgres "$programs/pg_ctl" -D "$BUILD/database" -w -l "$BUILD/database/log" \
    -o "-c listen_addresses=127.0.0.1 -c unix_socket_directories=$BUILD/database" start >> "$LOGS/check-database.log"
  DATABASE=(PREFECT_SERVER_DATABASE_CONNECTION_URL="postgresql+asyncpg://prefect:$PASSWORD@127.0.0.1:5432/postgres")
}

check_flows() {
  local started=$SECONDS listed
  DATABASE=()
  start_database
  serve prefect flows "${DATABASE[@]}" -- prefect server start --host 127.0.0.1 --port 4200
  until inside flows -- python -c "import urllib.request as web; web.urlopen('http://127.0.0.1:4200/api/health')" \
    > /dev/null 2>&1; do
    kill -0 "$SERVED" || fail "Prefect's server ended: see $LOGS/check-prefect.log"
    ((SECONDS - started < HEALTHY_WITHIN_S)) || fail "Prefect's server did not answer"
    sleep 1
  done
  inside flows -- /srv/earthfield/deploy.sh > "$LOGS/check-deploy.log" 2>&1 \
    || { tail -5 "$LOGS/check-deploy.log" >&2; fail "the deployments were not taken"; }
  serve flows flows
  wait_healthy flows flows
  started=$SECONDS
  listed=$(inside flows -- prefect deployment ls 2> /dev/null | grep -c / || true)
  [[ $listed -ge 8 ]] || fail "only $listed deployments are listed"
  noted flows "$listed deployments declared${DATABASE:+, runs in PostgreSQL}" "$started"
}

check_ingest() {
  inside ingest -- earthfield simulate /data/landscape --size 64 --start-year 2023 --json > "$LOGS/check-land.log"
  serve ingest ingest PREFECT_WORKER_WEBSERVER_PORT=8081 EARTHFIELD_METRICS_PORT=8181
  wait_healthy ingest ingest PREFECT_WORKER_WEBSERVER_PORT=8081
  local started=$SECONDS
  flow_run ingest ingest/ingest '{"catalog": "/data/landscape", "periods": ["2023"]}'
  [[ -n $(ls "$DATA/cubes") ]] || fail "ingest left no cube"
  noted ingest "a simulated tile, a year of three sensors" "$started"
}

check_train() {
  serve train train PREFECT_WORKER_WEBSERVER_PORT=8082 EARTHFIELD_METRICS_PORT=8182
  wait_healthy train train PREFECT_WORKER_WEBSERVER_PORT=8082
  local started=$SECONDS
  flow_run train train/train '{"name": "two-steps", "preset": "nano", "steps": 2}'
  [[ -s $DATA/models/two-steps/model.safetensors ]] || fail "train left no weights"
  noted train "two steps of the preset nano" "$started"
}

check_infer() {
  serve infer infer PREFECT_WORKER_WEBSERVER_PORT=8083 EARTHFIELD_METRICS_PORT=8183
  wait_healthy infer infer PREFECT_WORKER_WEBSERVER_PORT=8083
  local started=$SECONDS
  flow_run infer embed/embed '{"model": "starter", "periods": ["2023"]}'
  noted infer "the tile's field of 2023 by the starter" "$started"
}

check_search() {
  serve index flows -- prefect worker start --type process --pool earthfield-search
  flow_run flows index/index '{"model": "starter"}'
  KEY=$(inside search -- earthfield keys add dashboard --scope read --scope ask --scope write --keys /data/keys.json \
    --json | jq -r '.key')
  serve search search EARTHFIELD_API_KEYS=/data/keys.json
  wait_healthy search search
  local started=$SECONDS found
  found=$(inside dashboard "EARTHFIELD_SEARCH_KEY=$KEY" -- python -c '
from earthfield.client import Client
from earthfield.settings import Settings
client = Client(Settings().search_url, Settings().search_key)
west, south, east, north = next(client.areas())["bounds"]
found = client.similar("starter", [((west + east) / 2, (south + north) / 2)], period="2023", k=5)
print(len(found["features"]))') || fail "the search service did not answer a question"
  [[ $found == 5 ]] || fail "the search service found $found places, not 5"
  noted search "an index by a flow run, a question over HTTP with a key" "$started"
}

check_dashboard() {
  serve dashboard dashboard "EARTHFIELD_SEARCH_KEY=$KEY" "EARTHFIELD_DASHBOARD_PASSWORD=$PASSWORD"
  wait_healthy dashboard dashboard
  local started=$SECONDS
  inside dashboard "GIVEN=$PASSWORD" -- python -c '
import os, httpx
page = httpx.Client(base_url="http://127.0.0.1:8800", follow_redirects=True, headers={"Accept": "text/html"})
assert "password" in page.get("/explore").text, "a page without a login"
page.post("/login", data={"password": os.environ["GIVEN"]}, headers={"Origin": "http://127.0.0.1:8800"})
answer = page.get("/explore")
assert answer.url.path == "/explore" and "root" in answer.text, "no page after the login"
told = page.get("/health", headers={"Accept": "application/json"}).json()
print(told)' > "$LOGS/check-page.log" || fail "the dashboard gave no page: see $LOGS/check-dashboard.log"
  noted dashboard "a page after the login, none before it" "$started"
}

check_triton() {
  local encoder=(EARTHFIELD_ENCODER_KEY="$PASSWORD") before after
  inside triton -- earthfield model export starter --triton /models > "$LOGS/check-export.log"
  serve triton triton "${encoder[@]}"
  wait_healthy triton triton
  local started=$SECONDS
  before=$(sha256sum "$DATA"/fields/starter/*/*/embedding.tif)
  inside infer "${encoder[@]}" -- earthfield embed --period 2023 --overwrite --encoder grpc://127.0.0.1:8001 --json \
    > "$LOGS/check-encoder.log"
  after=$(sha256sum "$DATA"/fields/starter/*/*/embedding.tif)
  [[ $before == "$after" ]] && after="the same bytes" || after="equal to rounding"
  noted triton "the same field, asked of the server by infer: $after" "$started"
}

# Each needs what those before it have made or started.
main() {
  local one
  ip link set lo up
  rm -f "$BUILD"/results/*.checked
  make_containers "$@"
  for one in "$@"; do "check_$one"; done
}

main flows ingest infer search dashboard triton train
