#!/usr/bin/env bash
# Installs what the project needs: `tools/install.sh venv` makes .venv from
# requirements.lock, `tools/install.sh bazel` finds or installs Bazel, and
# `tools/install.sh chromium` the browser of the studio's tests.
# Run again, it returns at once if nothing changed.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly LOCK=requirements.lock
# A copy of the lock that .venv was made from. It is there only while .venv is
# whole: it goes first and comes last.
readonly STAMP=.venv/installed.lock

fail() {
  echo "error: $*" >&2
  exit 1
}

apt_install() {
  if [[ $(id -u) != 0 ]] || ! command -v apt-get > /dev/null; then
    fail "these Debian packages are missing: $*
Install them as root, then run this again:
  apt-get update && apt-get install --no-install-recommends $*"
  fi
  echo "Installing Debian packages: $*"
  apt-get update -q
  DEBIAN_FRONTEND=noninteractive \
    apt-get install -q -y --no-install-recommends "$@"
}

is_python_3_11() {
  "$1" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2> /dev/null
}

find_python() {
  local python
  for python in python3.11 python3 /usr/bin/python3.11; do
    if is_python_3_11 "$python"; then
      command -v "$python"
      return
    fi
  done
  fail "Python 3.11 is needed, and neither python3.11 nor python3 is that \
(python3 is $(python3 --version 2>&1 || echo missing)).
On Debian 12: apt-get install python3 python3-venv"
}

install_venv() {
  if cmp -s "$LOCK" "$STAMP" && is_python_3_11 .venv/bin/python; then
    return
  fi
  if [[ -e $STAMP ]] && is_python_3_11 .venv/bin/python; then
    rm "$STAMP"
  else
    local python
    python=$(find_python)
    if ! "$python" -c 'import ensurepip, venv' 2> /dev/null; then
      apt_install python3-venv
      python=/usr/bin/python3.11 # The one that the package completes.
    fi
    echo "Making .venv with $("$python" --version) ($python)"
    "$python" -m venv --clear .venv
  fi
  echo "Installing the packages of $LOCK into .venv, about 1 GB to download"
  .venv/bin/python -m pip install --disable-pip-version-check --no-input \
    -r "$LOCK"
  cp "$LOCK" "$STAMP.new"
  mv "$STAMP.new" "$STAMP"
}

install_bazel() {
  local missing=()
  command -v bazel > /dev/null || missing+=(bazel-bootstrap)
  [[ -d /usr/share/bazel/rules/java ]] || missing+=(bazel-rules-java)
  [[ ${#missing[@]} == 0 ]] || apt_install "${missing[@]}"
}

install_chromium() {
  [[ -x /usr/bin/chromium ]] || apt_install chromium
}

case ${1-} in
  venv | bazel | chromium) "install_$1" ;;
  *) fail "usage: tools/install.sh venv|bazel|chromium" ;;
esac
