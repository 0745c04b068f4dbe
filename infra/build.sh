#!/usr/bin/env bash
# Builds every image, starts them beside one another as in production, asks their health checks, has each do one job,
# and prints a table. It needs neither a Docker engine nor a registry of images.
#
#   sudo infra/build.sh                   all images and all checks; nothing is kept
#   sudo infra/build.sh --keep            what was built stays in $EARTHFIELD_BUILD, and the next call is quicker
#   sudo infra/build.sh search triton     builds these two and checks nothing
#
# Needs root, buildah, debootstrap, jq and iproute2 (Debian or Ubuntu). Settings, all by the environment:
#   BASE                   image to start from, where it can be pulled; a Debian made by debootstrap when absent
#   SUITE, MIRROR          release and mirror of that Debian (bookworm, the mirror of debootstrap)
#   STORAGE_DRIVER         of buildah; overlay where this machine can, else vfs, which needs 25 GB
#   EARTHFIELD_BUILD       folder for everything (/var/tmp/earthfield-build)
#   PIP_*, UV_*, SSL_CERT_FILE   where packages come from; handed to the build, kept in no image
set -euo pipefail

HERE=$(cd "$(dirname "$0")" && pwd)
ALL=(ingest train infer search flows dashboard triton)
BUILD=${EARTHFIELD_BUILD:-/var/tmp/earthfield-build}
KEEP=no
CHOSEN=()
export BUILDAH_ISOLATION=chroot TMPDIR=$BUILD/tmp

say() { printf '%s\n' "$*" >&2; }
fail() { say "build.sh: $*"; exit 1; }
store() { buildah --root "$BUILD/storage" --runroot "$BUILD/run" --storage-driver "$STORAGE_DRIVER" "$@"; }

read_arguments() {
  local one
  for one in "$@"; do
    case $one in
      --keep) KEEP=yes ;;
      -h | --help) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit 0 ;;
      *) [[ " ${ALL[*]} " == *" $one "* ]] || fail "there is no image $one: choose of ${ALL[*]}"
         CHOSEN+=("$one") ;;
    esac
  done
}

check_tools() {
  local tool missing=()
  for tool in buildah jq ip unshare $([[ ${BASE:-} ]] || echo debootstrap); do
    command -v "$tool" > /dev/null || missing+=("$tool")
  done
  [[ ${#missing[@]} == 0 ]] || fail "${missing[*]} missing: apt-get install buildah debootstrap jq iproute2"
  [[ $(id -u) == 0 ]] || fail "it needs root, for debootstrap and for containers without an engine"
}

# An overlay is quick and small, but not every machine lets one be mounted.
choose_driver() {
  [[ ${STORAGE_DRIVER:-} ]] && return
  mkdir -p "$BUILD/probe/"{low,up,work,all}
  if mount -t overlay overlay -o "lowerdir=$BUILD/probe/low,upperdir=$BUILD/probe/up,workdir=$BUILD/probe/work" \
    "$BUILD/probe/all" 2> /dev/null; then
    umount "$BUILD/probe/all"
    STORAGE_DRIVER=overlay
  else
    STORAGE_DRIVER=vfs
  fi
  rm -rf "$BUILD/probe"
}

make_base() {
  [[ ${BASE:-} ]] && return
  BASE=localhost/earthfield-base
  store inspect --type image "$BASE" > /dev/null 2>&1 && return
  say "base: a Debian of its own"
  rm -rf "$BUILD/base"
  debootstrap --variant=minbase --include=ca-certificates "${SUITE:-bookworm}" "$BUILD/base" ${MIRROR:+"$MIRROR"} \
    > "$BUILD/logs/base.log"
  rm -rf "$BUILD"/base/usr/share/{doc,man,locale,info} "$BUILD"/base/var/{cache/apt,lib/apt/lists}/*
  local container
  container=$(store from scratch)
  store add --quiet "$container" "$BUILD/base" / > /dev/null
  store commit --quiet --rm "$container" "$BASE" > /dev/null
  rm -rf "$BUILD/base"
}

# What the package clients need of this machine lies in one folder, seen as /mnt while an image is built: no trace of
# it is left, since every base has an empty /mnt.
given_to_builds() {
  local given=$BUILD/given certificates=${SSL_CERT_FILE:-${PIP_CERT:-}} name
  rm -rf "$given" && mkdir -p "$given/wheels"
  GIVEN=(--volume "$given:/mnt:ro")
  if [[ -f $certificates ]]; then
    cp "$certificates" "$given/certificates.crt"
    GIVEN+=(--build-arg PIP_CERT=/mnt/certificates.crt --build-arg SSL_CERT_FILE=/mnt/certificates.crt)
  fi
  for name in ${PIP_FIND_LINKS:-} ${UV_FIND_LINKS:-}; do
    [[ -d $name ]] && cp --update "$name"/*.whl "$given/wheels/"
  done
  GIVEN+=(--build-arg UV_FIND_LINKS=/mnt/wheels)
  for name in PIP_INDEX_URL PIP_EXTRA_INDEX_URL UV_DEFAULT_INDEX UV_INDEX; do
    [[ ${!name:-} ]] && GIVEN+=(--build-arg "$name")
  done
  [[ ${UV_DEFAULT_INDEX:-} || -z ${PIP_INDEX_URL:-} ]] || GIVEN+=(--build-arg "UV_DEFAULT_INDEX=$PIP_INDEX_URL")
}

# All images are made of one state of the files, however long it takes.
take_context() {
  rm -rf "$BUILD/context" && mkdir -p "$BUILD/context"
  cp --archive "$HERE/../.dockerignore" "$HERE/images" "$BUILD/context/"
  (cd "$HERE/.." && sed -n 's/^!//p' .dockerignore | xargs cp --archive --parents --target-directory="$BUILD/context")
}

build_stage() { # build_stage DOCKERFILE TAG [ARGUMENT...]
  store build --format docker --layers --isolation chroot --build-arg "BASE=$BASE" "${GIVEN[@]}" \
    --file "$BUILD/context/images/$1.Dockerfile" --tag "$2" "${@:3}" "$BUILD/context" >> "$BUILD/logs/$1.log" 2>&1 \
    || { tail -20 "$BUILD/logs/$1.log" >&2; fail "$1 could not be built: see $BUILD/logs/$1.log"; }
}

build_image() {
  local started=$SECONDS
  say "$1: building"
  : > "$BUILD/logs/$1.log"
  build_stage "$1" earthfield/tools --target tools
  build_stage "$1" earthfield/builder --target builder
  build_stage "$1" "earthfield/$1"
  # The stage with the packages is as large as the image; what all images share is kept by its name.
  store rmi earthfield/builder > /dev/null
  printf '%s %s %s\n' "$1" "$((SECONDS - started))" \
    "$(store images --format '{{.Size}}' "earthfield/$1")" > "$BUILD/results/$1.built"
}

print_table() {
  local name built
  printf '\n| image | size | built in s | healthy after s | job | s |\n|---|---|---|---|---|---|\n'
  for name in "${CHOSEN[@]}"; do
    read -r _ seconds size < "$BUILD/results/$name.built"
    built=$(cat "$BUILD/results/$name.checked" 2> /dev/null || echo '| | |')
    printf '| %s | %s | %s %s\n' "$name" "$size" "$seconds" "$built"
  done
}

tidy_up() {
  local status=$?
  [[ -d $BUILD/storage ]] && store rm --all > /dev/null 2>&1
  if [[ $KEEP == no ]]; then
    [[ -d $BUILD/storage ]] && store rmi --all --force > /dev/null 2>&1
    rm -rf "$BUILD"
  fi
  exit "$status"
}

main() {
  read_arguments "$@"
  check_tools
  local checked=no name
  if [[ ${#CHOSEN[@]} == 0 ]]; then
    CHOSEN=("${ALL[@]}")
    checked=yes
  fi
  trap tidy_up EXIT
  mkdir -p "$BUILD"/{tmp,logs,results}
  choose_driver
  store rm --all > /dev/null  # containers that a run left which was killed
  make_base
  given_to_builds
  take_context
  for name in "${CHOSEN[@]}"; do build_image "$name"; done
  if [[ $checked == yes ]]; then
    BUILD=$BUILD STORAGE_DRIVER=$STORAGE_DRIVER unshare --net --pid --fork --kill-child --mount-proc \
      bash "$HERE/check.sh"
  fi
  print_table
}

main "$@"; exit
