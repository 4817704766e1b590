"""A page where constraints are sliders: `python -m serving.studio`.

Files, from the link to the page: `state` (the link), `faces` (the pictures on
offer), `model` (calls to the server), `drawing` (pictures), `run_folder` (the
curves of a run), `layout`, `controls` and `page` (pieces of pages), `play`,
`compare` and `browse` (the three pages), `application` (the web application),
`address` and `web_server` (where it is offered).
docs/studio.md says more.
"""
