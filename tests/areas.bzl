"""One py_test an area: its test files run in one process.

To load TensorFlow takes longer than most tests do.
"""

def _taken():
    """Returns a dict of each test file to the area that it is in."""
    return {
        src[1:]: name
        for name, rule in native.existing_rules().items()
        for src in rule["srcs"]
        if src.endswith("_test.py")
    }

def others():
    """Returns the names of all tests that are in no area yet."""
    taken = _taken()
    return [file[:-3] for file in native.glob(["*_test.py"]) if file not in taken]

def area(name, tests, deps = [], data = [], args = []):
    """Defines the test of an area.

    Args:
      name: The area's name, which becomes the target's.
      tests: The names of the test files, without ".py".
      deps: What the tests import apart from lc_keras and tests/.
      data: Other files that the tests read.
      args: Other arguments of run_area.py.
    """
    files = [test + ".py" for test in tests]
    taken = _taken()
    for file in files:
        if file in taken:
            fail("%s is in two areas: %s and %s." % (file, taken[file], name))
    native.py_test(
        name = name,
        # An hour: ends only tests that hang, also on a busy machine.
        size = "large",
        timeout = "eternal",
        srcs = ["run_area.py"] + files,
        main = "run_area.py",
        args = args + ["tests/" + file for file in files],
        data = data,
        deps = [":support", "//:pytest", "//lc_keras"] + deps,
    )
