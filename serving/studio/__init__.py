"""A page where constraints are sliders: `python -m serving.studio`.

Files, from the link to the page: `state` (what a link says), `faces` (what is
changed), `asking` (the calls, over gRPC), `watch` (is the server there?),
`drawing` (pictures), `run_folder` (what a run left), `layout` and `controls`
(pieces of pages), `play`, `compare` and `browse` (the three pages),
`application` (all of it as a web application). docs/studio.md says more.
"""
