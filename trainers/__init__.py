"""The jobs: python -m trainers.<job> --flagfile=configs/<data>/<job>.cfg."""
