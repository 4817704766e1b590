#!/usr/bin/env bash
# Lints the Dockerfile and the Kubernetes manifests: `tools/lint_deploy.sh`.
# `tools/lint_deploy.sh audit` checks the packages of requirements.lock against
# the advisory service of pip-audit, for which it needs a network.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly LOCK=requirements-tools.lock
readonly VENV=.venv-tools
# The oldest Kubernetes that the manifests support, and a current one.
readonly VERSIONS=(1.31 1.37)

if ! cmp -s "$LOCK" "$VENV/installed.lock"; then
  python3 -m venv --clear "$VENV"
  "$VENV/bin/python" -m pip install --disable-pip-version-check --quiet \
    --no-input -r "$LOCK"
  cp "$LOCK" "$VENV/installed.lock"
fi

if [[ ${1-} == audit ]]; then
  exec "$VENV/bin/pip-audit" --no-deps --disable-pip -r requirements.lock
fi

"$VENV/bin/hadolint" Dockerfile
"$VENV/bin/yamllint" --strict deploy
# Without files of tools that are not Kubernetes manifests.
mapfile -t manifests < <(find deploy -name '*.yaml' \
  ! -name kustomization.yaml ! -name prometheus-adapter.yaml | sort)
for version in "${VERSIONS[@]}"; do
  "$VENV/bin/kubernetes-validate" --strict --quiet -k "$version" \
    "${manifests[@]}"
done
if command -v kubectl > /dev/null; then
  for folder in deploy/*/; do
    kubectl kustomize "$folder" \
      | "$VENV/bin/kubernetes-validate" --strict --quiet /dev/stdin
  done
else
  echo "kubectl is not installed: what kustomize makes of them was not checked"
fi
echo "${#manifests[@]} manifests and the Dockerfile are as they should be"
