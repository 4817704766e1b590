"""Evaluation of systems: one protocol for all, and the report of its figures.

systems          systems that are compared, behind one interface
protocol         measures a system on held-out images, by
  judge            a classifier that reads images
  scores           attributes read from images: precision, recall, F1
  fidelity         samples against real images: FID, KID, precision, recall
  diversity        samples of one request against each other
  transformations  edits: whether they succeed, and what else they change
  combinations     requests that do not occur in training
  intervals        confidence intervals of all of these
report           results.json and index.html, of tables and figures
summary          mean and spread over several reports
"""
