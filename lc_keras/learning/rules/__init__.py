"""The kinds of rules: function, classifier, example pictures, sentence."""
