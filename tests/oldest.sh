#!/usr/bin/env bash
# Saved models and networks under the oldest packages that requirements.txt allows.
# tests/oldest.sh [FOLDER]: makes the environment there first (default: .venv-oldest).
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-.venv-oldest}
if [ ! -e "$folder/installed" ] || [ requirements.txt -nt "$folder/installed" ]; then
  "${PYTHON:-python3.10}" -m venv "$folder"
  "$folder/bin/pip" install --quiet uv
  "$folder/bin/uv" pip install --quiet --python "$folder/bin/python" \
    --resolution lowest-direct -r requirements.txt 'pytest>=8' 'hypothesis>=6.100'
  touch "$folder/installed"
fi
# Old packages warn of the new ones beside them: no errors here.
"$folder/bin/python" -m pytest -W ignore -p no:cacheprovider tests/models/test_files.py \
  tests/models/test_old_models.py
