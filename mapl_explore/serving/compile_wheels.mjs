// node compile_wheels.mjs FOLDER FILE...: wheels in a folder of Pyodide, and its standard library, with compiled modules in
// place of sources.
// The Python that will import them compiles them: the format of compiled modules is that of one version only.
import { pathToFileURL } from "node:url";

const COMPILE = `
import os, py_compile, tempfile, zipfile

STANDARD = "python_stdlib.zip"

def compiled(data, place):
    with tempfile.TemporaryDirectory() as folder:
        source, target = folder + "/a.py", folder + "/a.pyc"
        with open(source, "wb") as file:
            file.write(data)
        # Never compared with its source, which is not there.
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        py_compile.compile(source, target, place, doraise=True, invalidation_mode=mode)
        with open(target, "rb") as file:
            return file.read()

for wheel in files:
    root = "/lib/python312.zip/" if wheel == STANDARD else "/lib/python3.12/site-packages/"
    with zipfile.ZipFile("/wheels/" + wheel) as archive:
        parts = [(info.filename, archive.read(info)) for info in archive.infolist() if not info.is_dir()]
    with zipfile.ZipFile("/wheels/" + wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts:
            if name.endswith(".py"):
                name, data = name + "c", compiled(data, root + name)
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
`;

const [folder, ...files] = process.argv.slice(2);
const { loadPyodide } = await import(pathToFileURL(`${folder}/pyodide.mjs`));
const pyodide = await loadPyodide({ indexURL: folder });
pyodide.FS.mkdir("/wheels");
pyodide.FS.mount(pyodide.FS.filesystems.NODEFS, { root: folder }, "/wheels");
pyodide.globals.set("files", files);
pyodide.runPython(COMPILE);
