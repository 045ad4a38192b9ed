"""A repository with CUDA's headers, from CUDA_HOME or /usr/local/cuda.

Where there is no CUDA it holds no header, and only targets tagged `manual` notice.
"""

_BUILD = """
cc_library(
    name = "headers",
    hdrs = glob(["include/**"]),
    includes = ["include"],
    visibility = ["//visibility:public"],
)
"""

def _impl(context):
    include = context.path(context.os.environ.get("CUDA_HOME", "/usr/local/cuda") + "/include")
    if include.exists:
        context.symlink(include, "include")
    context.file("BUILD", _BUILD)

cuda_configure = repository_rule(
    implementation = _impl,
    environ = ["CUDA_HOME"],
    local = True,
)
