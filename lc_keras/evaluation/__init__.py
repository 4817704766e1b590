"""How good systems are: one protocol for all, and the report of its figures.

systems          systems that are compared, behind one interface
protocol         measures a system on held-out images, by
  judge            a classifier that reads images
  scores           attributes read from images: precision, recall, F1
  fidelity         samples beside real images: FID, KID, precision, recall
  diversity        samples of one request beside each other
  transformations  edits: whether they obey, and what else they change
  combinations     requests that training never saw
  intervals        confidence intervals of all of these
report           results.json and index.html, of tables and figures
summary          mean and spread over several reports
"""
