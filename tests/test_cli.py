"""The command line, as a user runs it."""

import importlib.metadata
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

import fastinit as fi

MANIFEST = {
    "long." + "name." * 40 + "weight": {"shape": [17, 33], "dtype": "F32"},
    "[bold]a:smile:.bias": {"shape": [17], "dtype": "F32"},
    "none": {"shape": [0, 4], "dtype": "F32"},
    "é": {"shape": [], "dtype": "F64"},
}
RECIPE = [
    {"pattern": "*.bias", "initialization": "normal", "parameters": {"std": 0.02}},
    {"pattern": "é", "initialization": "ones"},
    {"pattern": "*", "initialization": "he"},
]
MAIN = "import sys; from fastinit.__main__ import main; sys.exit(main())"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder, with a manifest and a recipe in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST))
    (tmp_path / "recipe.json").write_text(json.dumps(RECIPE))
    return tmp_path


OWN = ("init", "manifest.json", "--recipe", "recipe.json", "-o", "out.safetensors")
INPUTS = {"manifest.json", "recipe.json"}


def run(*arguments, prelude=None, **options):
    """The command line's result; `prelude` is Python that runs before it in the same process."""
    command = ["-m", "fastinit"] if prelude is None else ["-c", f"{prelude}\n{MAIN}"]
    options = {"capture_output": True, "encoding": "utf-8", "timeout": 300, **options}
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8", **options.pop("env", {})}
    environment.pop("PYTHONUNBUFFERED", None)  # a user's output is buffered, so its errors come late
    return subprocess.run([sys.executable, *command, *arguments], env=environment, check=False, **options)


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_a_shipped_model_in_one_command(tmp_path):
    path = tmp_path / "resnet50.safetensors"
    result = run("init", "resnet50", "--seed", "1", "-o", str(path))
    assert result.returncode == 0
    assert result.stderr == ""
    *table, total, seed = result.stdout.splitlines()
    assert seed == "seed 1"
    assert re.fullmatch(rf"25,610,152 parameters in \d+\.\d\d s \(\d+\.\d\d GB/s\): {re.escape(str(path))}", total)
    manifest = fi.load_manifest("resnet50")
    rows = [re.split(r" {2,}", line.strip()) for line in table if line.strip()]
    assert rows[0] == ["tensor", "shape", "initialization", "std asked for", "std measured"]
    assert {row[0]: row[1] for row in rows[2:]} == {name: str(info["shape"]) for name, info in manifest.items()}
    strategies = {row[0]: eval(row[2], vars(fi)) for row in rows[2:]}
    rules = fi.load_recipe("resnet50").match(manifest)
    assert strategies == {name: rule.strategy for name, rule in rules.items()}
    name = "resnet.embedder.embedder.convolution.weight"
    weight = load_file(path)[name]
    assert weight.tobytes() == fi.initialize((64, 3, 7, 7), rules[name].strategy, seed=1, stream=name).tobytes()
    (row,) = (row for row in rows if row[0] == name)
    assert row[3:] == [f"{(2 / (64 * 49)) ** 0.5:.6g}", f"{weight.astype('float64').std():.6g}"]


def test_rows_in_a_pipe_are_whole_whatever_the_names(folder):
    result = run(*OWN, "--seed", "3", env={"COLUMNS": "40"})
    assert (result.returncode, result.stderr) == (0, "")
    rows = {line.split()[0]: re.split(r" {2,}", line.strip()) for line in result.stdout.splitlines() if line.strip()}
    for name, info in MANIFEST.items():
        assert rows[name][:2] == [name, str(tuple(info["shape"]))]
    assert rows["none"][3:] == ["-", "-"]
    assert rows["é"][2:] == ["Constant(value=1.0)", "0", "0"]
    assert rows["[bold]a:smile:.bias"][2:4] == ["Normal(mean=0.0, std=0.02)", "0.02"]


def test_a_name_that_the_output_cannot_encode_is_escaped(folder):
    result = run(*OWN, env={"PYTHONIOENCODING": "ascii"})
    assert (result.returncode, result.stderr) == (0, "")
    assert "\\xe9" in result.stdout


def test_own_manifest_and_recipe(folder):
    result = run(*OWN, "--seed", "3", "--dtype", "float64", "--threads", "1", "--quiet")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    expected = fi.load_recipe("recipe.json").initialize("manifest.json", seed=3, dtype="float64")
    loaded = load_file("out.safetensors")
    assert set(loaded) == set(expected)
    assert all(loaded[name].dtype == "float64" for name in loaded)
    assert all(loaded[name].tobytes() == expected[name].tobytes() for name in loaded)


@pytest.mark.parametrize("quiet", [[], ["--quiet"]])
def test_a_seed_that_was_drawn_is_printed_and_repeats_the_file(folder, quiet):
    result = run(*OWN, *quiet)
    (seed,) = re.findall(r"^seed (\d+)$", result.stdout, re.MULTILINE)
    if quiet:
        assert result.stdout == f"seed {seed}\n"
    with safe_open("out.safetensors", "numpy") as file:
        assert file.metadata()["seed"] == seed
    first = (folder / "out.safetensors").read_bytes()
    assert run(*OWN, "--seed", seed).returncode == 0
    assert (folder / "out.safetensors").read_bytes() == first


def test_a_shipped_model_with_another_recipe(folder):
    (folder / "zeros.json").write_text('[{"pattern": "*", "initialization": "zeros"}]')
    assert run("init", "resnet50", "--recipe", "zeros.json", "-o", "out", "--quiet", "--seed", "0").returncode == 0
    assert not any(array.any() for array in load_file("out").values())


def test_version_and_help():
    version = run("--version")
    assert (version.returncode, version.stdout) == (0, f"fastinit {importlib.metadata.version('fastinit')}\n")
    assert run("--help").returncode == 0
    help_of_init = run("init", "--help")
    assert help_of_init.returncode == 0
    assert all(model in help_of_init.stdout for model in ("gpt2", "llama3-1b", "llama3-8b", "resnet50"))


def test_the_entry_point_is_the_same_main():
    (entry,) = (e for e in importlib.metadata.entry_points(group="console_scripts") if e.name == "fastinit")
    assert entry.value == "fastinit.__main__:main"
    assert callable(entry.load())


def test_importing_the_package_does_not_import_rich():
    code = "import sys, fastinit; fastinit.checkpoint.save; print('rich' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True)
    assert result.stdout == "False\n"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["init", "gpt2"], "the following arguments are required: -o/--output"),
        (["init", "gpt2", "-o", "x", "--see", "1"], "unrecognized arguments: --see 1"),
        (["init", "gpt2", "-o", "x", "--seed", "one"], "argument --seed: invalid int value: 'one'"),
        (
            ["init", "gpt2", "-o", "x", "--seed", "-1"],
            "seed must be an integer in [0, 18446744073709551615]; got -1",
        ),
        (["init", "gpt2", "-o", "x", "--threads", "0"], "threads must be an integer of at least 1; got 0"),
        (
            ["init", "gpt2", "-o", "x", "--dtype", "int8"],
            "dtype must be float32, float64, float16 or bfloat16; got int8",
        ),
        (
            ["init", "gpt3", "-o", "x"],
            "manifest must be one of gpt2, llama3-1b, llama3-8b, resnet50, or the path of a file; "
            "got 'gpt3' (did you mean 'gpt2'?)",
        ),
        (
            ["init", "manifest.json", "-o", "x"],
            "--recipe must be one of resnet50, gpt2, llama3, or the path of a file, where MODEL is a manifest; "
            "got none",
        ),
        (
            ["init", "gpt2", "--recipe", "gpt3", "-o", "x"],
            "recipe must be one of resnet50, gpt2, llama3, or the path of a file; got 'gpt3' (did you mean 'gpt2'?)",
        ),
        (
            ["init", "gpt2", "--recipe", "manifest.json", "-o", "x"],
            "manifest.json: recipe must be a list of rules; got dict",
        ),
        (
            ["init", "recipe.json", "--recipe", "gpt2", "-o", "x"],
            'recipe.json: manifest must be a mapping {name: {"shape": [...], "dtype": "F32"}, ...}; got list',
        ),
        (["init", "gpt2", "-o", "no/x"], "path must be in an existing folder; got 'no/x'"),
        (["init", "gpt2", "-o", "."], "path must name a regular file; got '.'"),
        (["init", ".", "-o", "x"], "Is a directory: ."),
    ],
)
def test_a_users_error_is_one_line(folder, arguments, text):
    result = run(*arguments)
    assert (result.returncode, result.stdout, result.stderr) == (2, "", f"fastinit: error: {text}\n")
    assert names(folder) == INPUTS


def test_without_rich_the_command_line_says_what_to_install(folder):
    without_rich = "import sys; sys.modules['rich'] = None"
    result = run(*OWN, prelude=without_rich)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        'fastinit: error: rich must be installed for tables and progress: pip install "fastinit[cli]"\n'
    )
    assert names(folder) == INPUTS
    assert run(*OWN, "--quiet", prelude=without_rich).returncode == 0


@pytest.mark.skipif(os.name != "posix", reason="limits are POSIX's")
def test_a_full_disk_is_one_line_and_leaves_what_was_there(folder):
    (folder / "out.safetensors").write_bytes(b"what was there")
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))"
    result = run(*OWN, prelude=limit, env={"PYTHONDONTWRITEBYTECODE": "1"})
    assert (result.returncode, result.stdout, result.stderr) == (2, "", "fastinit: error: File too large\n")
    assert names(folder) == INPUTS | {"out.safetensors"}
    assert (folder / "out.safetensors").read_bytes() == b"what was there"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("quiet", [[], ["--quiet"]])
def test_an_output_that_cannot_be_written_is_an_error(folder, quiet):
    with open("/dev/full", "w") as full:
        result = run(*OWN, *quiet, capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert (result.returncode, result.stderr) == (2, "fastinit: error: No space left on device\n")


@pytest.mark.skipif(os.name != "posix", reason="pipes are POSIX's")
@pytest.mark.parametrize("quiet", [[], ["--quiet"]])
def test_an_output_that_nobody_reads_ends_quietly(folder, quiet):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        result = run(*OWN, *quiet, capture_output=False, stdout=writer, stderr=subprocess.PIPE)
    finally:
        os.close(writer)
    assert (result.returncode, result.stderr) == (1, "")


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_ctrl_c_leaves_nothing_behind(folder):
    # A shell may have started the tests with the signal ignored, which a child inherits.
    prelude = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    arguments = ["init", "llama3-1b", "--dtype", "float32", "--seed", "0", "-o", "out.safetensors"]
    with subprocess.Popen(
        [sys.executable, "-c", f"{prelude}\n{MAIN}", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        try:
            deadline = time.monotonic() + 60
            while names(folder) == INPUTS and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.002)
            assert len(names(folder) - INPUTS) == 1  # the temporary file: the interrupt comes in the midst of writing
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, output, errors) == (130, "", "fastinit: interrupted\n")
    assert names(folder) == INPUTS


@pytest.mark.skipif(os.name != "posix", reason="terminals are POSIX's")
@pytest.mark.parametrize(("arguments", "shown"), [([], True), (["--quiet"], False)])
def test_progress_goes_to_a_terminal_only(folder, arguments, shown):
    import pty

    master, slave = pty.openpty()
    try:
        result = run(
            *OWN, "--seed", "0", *arguments, capture_output=False, stdout=subprocess.PIPE, stderr=slave,
            env={"TERM": "xterm"},
        )  # fmt: skip
        os.set_blocking(master, False)
        try:
            seen = os.read(master, 1 << 16)
        except BlockingIOError:
            seen = b""
    finally:
        os.close(master)
        os.close(slave)
    assert result.returncode == 0
    assert bool(seen) is shown
    assert (b"2.3" in seen) is shown  # kilobytes, of the bytes that the bar counts
