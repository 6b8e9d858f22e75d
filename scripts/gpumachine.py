"""Building on a machine that has a GPU, nvcc, cuDNN, meson, ninja, gcc and Python,
but neither GStreamer nor a network nor GLib: what tests/gpu and bench/gpu share.

GLib and oneDNN come along in a folder of unpacked Debian packages, which fetch ()
fills on a machine with apt.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
import importlib.util
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build-gpu"

# What is wanted, and which of all that these depend on is taken; the rest every
# machine with a compiler has.
PACKAGES = ("libglib2.0-dev", "libjson-glib-dev", "libdnnl-dev", "pkgconf")
TAKEN = re.compile(r"(lib(glib2|json-glib|dnnl|ffi|pcre2-|mount|blkid|selinux|sepol|"
                   r"pkgconf)|zlib1g|pkgconf|ocl-icd-libopencl1)")
# Of what they hold, below usr/.
KEPT = ("include/**/*", "lib/*/*.so*", "lib/*/pkgconfig/*", "lib/*/glib-2.0/include/*",
        "bin/pkgconf")


class Failure(Exception):
    """Something a user can be told in one sentence."""


# --- What is carried ---------------------------------------------------------------

def list_packages():
    """Names of the packages and of all they depend on, as far as taken."""
    skipped = [f"--no-{kind}" for kind in ("pre-depends", "recommends", "suggests",
                                           "conflicts", "breaks", "replaces", "enhances")]
    said = subprocess.run(["apt-cache", "depends", "--recurse", *skipped, *PACKAGES],
                          check=True, capture_output=True, text=True).stdout
    return sorted({name for name in said.splitlines() if TAKEN.match(name)})


def unpack(packages, folder):
    """Everything in packages, below one usr/ as on a merged system."""
    for package in packages:
        subprocess.run(["dpkg", "-x", package, folder], check=True)
    if (folder / "lib").is_dir():
        shutil.copytree(folder / "lib", folder / "usr/lib", symlinks=True,
                        dirs_exist_ok=True)


def keep(source, target):
    """Copies what is KEPT; links to elsewhere become links to a neighbour."""
    for pattern in KEPT:
        for path in source.glob(pattern):
            to = target / path.relative_to(source)
            to.parent.mkdir(parents=True, exist_ok=True)
            if path.is_symlink():
                to.symlink_to(pathlib.Path(os.readlink(path)).name)
            elif path.is_file():
                shutil.copy2(path, to)


def fetch(folder):
    """Fills the folder by way of apt; returns its size in bytes."""
    for tool in ("apt-get", "apt-cache", "dpkg"):
        if shutil.which(tool) is None:
            raise Failure(f"there is no {tool} here: fill the folder on a Debian or Ubuntu "
                          "machine with a network, and copy it")
    folder = pathlib.Path(folder)
    shutil.rmtree(folder / "usr", ignore_errors=True)
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        try:
            subprocess.run(["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download",
                            *list_packages()], cwd=scratch, check=True,
                           stdout=subprocess.DEVNULL)
            unpack(sorted(scratch.glob("*.deb")), scratch / "all")
        except subprocess.CalledProcessError as error:
            raise Failure(f"{error.cmd[0]} failed; apt-get update may help") from error
        keep(scratch / "all/usr", folder / "usr")
    return sum(path.lstat().st_size for path in folder.rglob("*"))


# --- The machine -------------------------------------------------------------------

def find_nvcc():
    nvcc = shutil.which("nvcc") or shutil.which("nvcc", path="/usr/local/cuda/bin")
    if nvcc is None:
        raise Failure("there is no nvcc, neither in PATH nor in /usr/local/cuda/bin")
    return pathlib.Path(nvcc).resolve()


def find_library(cuda, name, header, library):
    """Folders of a library's headers and of itself: the toolkit's, the system's, or those
    that came with PyTorch."""
    places = [(cuda / "include", cuda / "lib64"), (cuda / "include", cuda / "lib"),
              (pathlib.Path("/usr/include/x86_64-linux-gnu"),
               pathlib.Path("/usr/lib/x86_64-linux-gnu")),
              (pathlib.Path("/usr/include"), pathlib.Path("/usr/lib/x86_64-linux-gnu"))]
    if importlib.util.find_spec("nvidia"):
        for root in importlib.util.find_spec("nvidia").submodule_search_locations:
            places += [(pathlib.Path(root, package, "include"),
                        pathlib.Path(root, package, "lib"))
                       for package in (name.lower(), "cu13")]
    for include, lib in places:
        if (include / header).exists() and any(lib.glob(library)):
            return include, lib
    raise Failure(f"{name} is neither in the CUDA Toolkit nor in the system nor in this "
                  "Python's packages")


def add(env, name, *folders):
    """Appends to a list of folders in the environment."""
    env[name] = ":".join([*filter(None, [env.get(name)]), *map(str, folders)])


def make_environment(carried=None, libraries=None):
    """Variables for building and running. libraries: a folder that goes before all
    others, of stand-ins for CUDA's libraries. What is carried goes after the folders of
    CUDA and cuDNN, and hides none of them."""
    env = dict(os.environ)
    cuda = find_nvcc().parent.parent
    include, lib = find_library(cuda, "cuDNN", "cudnn_graph.h", "libcudnn.so.9")
    more_include, more_lib = find_library(cuda, "cuBLAS", "cublasLt.h", "libcublasLt.so.1*")

    if libraries:
        env["LD_LIBRARY_PATH"] = ":".join(
            filter(None, [os.path.abspath(libraries), env.get("LD_LIBRARY_PATH")]))
    add(env, "LD_LIBRARY_PATH", lib, cuda / "lib64", more_lib)
    add(env, "CPATH", include, more_include)
    if carried:
        add_carried(env, pathlib.Path(carried).resolve())
    env["XDG_CACHE_HOME"] = str(BUILD / "cache")
    return env


def add_carried(env, folder):
    libs = list(folder.glob("usr/lib/*-linux-gnu"))
    if len(libs) != 1:
        raise Failure(f"{folder} has no unpacked packages: fill it with "
                      f"`tests/gpu --fetch {folder.name}` on a machine with apt")
    add(env, "LD_LIBRARY_PATH", libs[0])
    add(env, "LIBRARY_PATH", libs[0])
    add(env, "CPATH", folder / "usr/include")
    env.update(PKG_CONFIG=str(folder / "usr/bin/pkgconf"),
               PKG_CONFIG_LIBDIR=str(libs[0] / "pkgconfig"),
               PKG_CONFIG_SYSROOT_DIR=str(folder))


def run_quietly(command, env):
    """Runs, and shows the end of what it said only when it fails."""
    try:
        subprocess.run(command, env=env, cwd=ROOT, check=True, text=True,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except FileNotFoundError as error:
        raise Failure(f"there is no {command[0]}") from error
    except subprocess.CalledProcessError as error:
        print(error.stdout[-6000:], file=sys.stderr)
        raise Failure(f"{command[0]} failed, see above") from error


def list_architectures():
    """Compute capabilities of the GPUs here, as "9.0"; none where that cannot be asked."""
    if shutil.which("nvidia-smi") is None:
        return []
    said = subprocess.run(["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"],
                          capture_output=True, text=True).stdout
    return sorted(set(re.findall(r"^\d+\.\d$", said, re.MULTILINE)), key=float)


def configure(env):
    """Sets the build up once: the engine and its backends, not the element, and kernels
    for the GPUs that are here."""
    if not (BUILD / "build.ninja").exists():
        archs = ",".join(arch.replace(".", "") for arch in list_architectures())
        run_quietly(["meson", "setup", str(BUILD), "-Delement=disabled", "-Dcuda=enabled",
                     f"-Dcuda-archs={archs}"], env)


def build(env, programs):
    """Builds programs, which are paths below BUILD."""
    env = dict(env)
    # A kernel for several architectures: all at a time.
    env["NVCC_APPEND_FLAGS"] = env.get("NVCC_APPEND_FLAGS", "") + " --threads 0"
    targets = sorted({str(pathlib.Path(p).relative_to(BUILD)) for p in programs})
    run_quietly(["ninja", "-C", str(BUILD), *targets], env)
