# What .ci/aarch64 and .ci/i386 share; they source this file. It makes a folder with another processor's Debian: Python,
# numpy and the libraries they need, unpacked but not installed, so that nothing outside of the folder changes. Then it
# cross-compiles the package with that Python and runs tests with it.
#
# The variables that the script sets before: arch (Debian's name of the architecture), triple (GNU's), packages (Debian's
# packages beside Python), wheels (PyPI's packages), platforms (the platforms whose wheels fit), emulate (the command
# that runs a program of that Debian, as an array).
#
#   GWUCNN_FOREIGN=folder    keep what was downloaded here, for the next run (default: ~/.cache/gwucnn)
#   PYTHON=python3.12        this machine's Python: it downloads wheels with pip, and translates with Cython
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${GWUCNN_FOREIGN:-${XDG_CACHE_HOME:-$HOME/.cache}/gwucnn}/$arch
root=$cache/root
suite=trixie version=3.13    # Debian's suite, and its Python

fail() {
    echo "ci: $1" >&2
    exit 1
}

need() {
    local program=$1
    command -v "$program" > /dev/null || fail "$program is missing; on Debian: apt-get install $2"
}

# A shell script that starts the foreign Python. It hands on its own path as the program's name, so that tests that start
# sys.executable start it again, without support from the kernel (binfmt_misc).
make_python() {
    cat > "$cache/python" << END
#!/bin/sh
PYTHONHOME=$root/usr exec ${emulate[*]} "\$0" $root/usr/bin/python$version "\$@"
END
    chmod +x "$cache/python"
}

download() {
    need apt-get apt
    need dpkg-deb dpkg
    local key=/usr/share/keyrings/debian-archive-keyring.gpg
    [ -f "$key" ] || fail "$key is missing; apt-get install debian-archive-keyring"
    rm -rf "$cache" && mkdir -p "$cache"/{lists,archives}/partial "$root/usr/lib" "$cache/wheels"
    ln -s usr/lib "$root/lib"
    : > "$cache/status"
    # From where this machine has its own packages.
    local mirror
    mirror=$(apt-get indextargets --format '$(SITE)' | grep '/debian/*$' | head -n 1)
    [ -n "$mirror" ] || fail "no mirror of Debian among the sources of apt; run this on Debian, or in a container of it"
    echo "deb [signed-by=$key] $mirror $suite main" > "$cache/sources.list"
    # apt with lists, a status and a cache of its own: it knows nothing of the packages of this machine.
    local apt=(apt-get -qq -o "APT::Architecture=$arch" -o "APT::Architectures=$arch" -o APT::Install-Recommends=0
        -o "Dir::State::lists=$cache/lists" -o "Dir::State::status=$cache/status" -o "Dir::Cache=$cache"
        -o "Dir::Cache::archives=$cache/archives" -o "Dir::Etc::sourcelist=$cache/sources.list"
        -o Dir::Etc::sourceparts=- -o APT::Sandbox::User=)
    "${apt[@]}" update
    "${apt[@]}" --yes --download-only install "python$version" "libpython$version-dev" libgomp1 $packages
    local package
    for package in "$cache"/archives/*.deb; do
        case ${package##*/} in
            libpython*-dev_*) ;;
            *-dev_*) continue ;;    # the C library's headers are those of the cross compiler
        esac
        dpkg-deb --extract "$package" "$root"
    done
    "${PYTHON:-python3}" -m venv "$cache/venv"
    "$cache/venv/bin/pip" install --quiet Cython setuptools
    local platform options=()
    for platform in $platforms any; do options+=(--platform "$platform"); done
    "$cache/venv/bin/pip" download --quiet --dest "$cache/wheels" --no-deps --only-binary :all: --python-version "$version" \
        --implementation cp --abi "cp${version/./}" --abi abi3 --abi none "${options[@]}" \
        setuptools Cython tqdm pytest hypothesis iniconfig packaging pluggy pygments sortedcontainers $wheels
    local wheel
    for wheel in "$cache"/wheels/*.whl; do "$cache/venv/bin/python" -m zipfile -e "$wheel" "$cache/site"; done
}

# Everything that is named in the arguments, or what depends on the kernels most.
run_tests() {
    need "$triple-gcc" "gcc-$triple"
    if [ ! -e "$cache/complete" ]; then
        echo "== Debian $suite for $arch in $cache"
        download
        touch "$cache/complete"
    fi
    make_python
    unset PYTHONDONTWRITEBYTECODE    # an emulated Python needs seconds to compile what it imports
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT

    echo "== build"
    cp -R "$here" "$work/tree"
    rm -rf "$work/tree"/{.venv,build,dist,*.egg-info}
    find "$work/tree/gwucnn" -name '*.so' -delete -o -name '*.c' -delete
    cd "$work/tree"
    # Translated with this machine's Cython, which is fast; the build below finds the translations up to date.
    "$cache/venv/bin/cythonize" -q -j 2 'gwucnn/_ext/**/*.pyx'
    PYTHONPATH=$cache/site CC=$triple-gcc LDSHARED="$triple-gcc -shared" CFLAGS="-I$root/usr/include -I$root/usr/include/python$version" \
        "$cache/python" -P setup.py -q build --build-lib "$work/lib"
    file=$(ls "$work"/lib/gwucnn/_ext/step.*.so)
    "$triple-objdump" -f "$file" | sed -n 's/.*file format/step: file format/p'

    echo "== tests"
    export PYTHONPATH=$work/lib:$cache/site
    "$cache/python" -P -c 'import gwucnn; gwucnn.show_config()'
    case ${1:-} in -* | '') set -- tests/ops tests/_ext tests/layers tests/network "$@" ;; esac    # only options
    "$cache/python" -P -m pytest -p no:cacheprovider "$@"
}
