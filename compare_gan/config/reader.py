"""Reads configuration files into gin's bindings, with the file and line of each error."""

import dataclasses
import hashlib
import importlib
import re
import tokenize
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import gin
from gin import config_parser

from compare_gan.config.checks import check
from compare_gan.config.gin_factories import inherited, label, parameters, register_all
from compare_gan.config.legacy import BOUND_ELSEWHERE, IMPLIED, MISSING, RENAMED
from compare_gan.config.recipes import config_file
from compare_gan.core import files
from compare_gan.core.errors import UserError, did_you_mean
from compare_gan.core.registry import EXPOSED, SCHEDULES, Exposed
from compare_gan.gans.gan import GAN

LIBRARY = "compare_gan"
INCLUDE = config_parser.IncludeStatement


class Binding(NamedTuple):
    """One binding of a configuration. `item` is None for a macro."""

    item: Exposed | None
    scope: str
    parameter: str  # or the name of the macro
    value: Any  # as parsed by gin; references are not resolved
    place: str  # file:line, or "binding ..."

    @property
    def name(self) -> str:
        full = f"{label(self.item)}.{self.parameter}" if self.item else self.parameter
        return f"{self.scope}/{full}" if self.scope else full


@dataclasses.dataclass
class ReadResult:
    """Collects the valid bindings by name, the imports and the errors of a configuration."""

    bindings: dict[str, Binding] = dataclasses.field(default_factory=dict)
    imports: list[str] = dataclasses.field(default_factory=list)
    refused_imports: list[tuple[str, str]] = dataclasses.field(default_factory=list)  # place, module
    mistakes: list[UserError] = dataclasses.field(default_factory=list)
    without: str = ""  # name of a parameter whose bindings are ignored
    allow_imports: Collection[str] | None = None


def read(
    files: Sequence[Path | str],
    bindings: Sequence[str],
    without: str = "",
    allow_imports: Collection[str] | None = None,
) -> ReadResult:
    """Applies the bindings of the files, then `bindings`; continues after an error.

    A file may be the name of a packaged configuration. An `include` is searched next to the including file,
    then in the working directory, then among the packaged configurations.

    Raises:
      UserError: the configuration imports a module that `allow_imports` does not allow, see `parse`.
    """
    reading = ReadResult(without=without, allow_imports=allow_imports)
    for path in files:
        try:
            read_file(config_file(str(path)), reading, ())
        except UserError as error:
            reading.mistakes.append(error)
    for text in bindings:
        read_text(text, None, reading, ())
    for binding, implied in IMPLIED.items():
        parameter = implied.split(" = ")[0].rpartition(".")[2]
        unbound = all(each.parameter != parameter for each in reading.bindings.values())
        if binding in reading.bindings and reading.bindings[binding].value and unbound:
            read_text(implied, None, reading, ())
    if reading.refused_imports:
        raise import_error(reading.refused_imports)
    try:
        gin.finalize()
    except ValueError as error:
        macro = re.search("for '(.*)/gin.macro'", str(error))
        what = f"%{macro[1]} is used but never set" if macro else first_line(error)
        reading.mistakes.append(UserError(f"configuration: {what}"))
    return reading


def read_file(path: Path, reading: ReadResult, includers: tuple[Path, ...]) -> None:
    try:
        text = files.read_text(path)
    except UserError as error:
        reading.mistakes.append(error)
    else:
        read_text(text, path, reading, (*includers, path.resolve()))


def read_text(text: str, path: Path | None, reading: ReadResult, includers: tuple[Path, ...]) -> None:
    try:
        for statement in statements(text, path):
            try:
                apply(statement, path, reading, includers)
            except UserError as error:
                reading.mistakes.append(error)
    except UserError as error:  # the rest cannot be parsed
        reading.mistakes.append(error)
    except RecursionError:
        reading.mistakes.append(UserError(f"{path or 'a binding'}: a value is nested too deeply"))


def statements(text: str, path: Path | None) -> Iterator[Any]:
    """The statements of a configuration, as gin parses them."""
    try:
        yield from config_parser.ConfigParser(text, Names())
    except SyntaxError as error:
        token = re.search("Failed to parse token '(.*)'", error.msg)
        what = (
            f"{token[1]} is not a value; put strings in quotes, and an @ before names" if token else error.msg
        )
        number = error.lineno or 1
        line = "".join(text.splitlines()[number - 1 : number])
        raise UserError(
            f"{format_location(path, number, line)}: {what.splitlines()[0].rstrip('.')}"
        ) from None
    except tokenize.TokenError as error:
        message, (number, _) = error.args
        raise UserError(f"{format_location(path, number, text)}: {message}") from None
    except ValueError as error:  # an unknown reference; gin appends the location
        found = re.search(r"\n  In .*line (\d+)\n    (.*)", str(error))
        where = format_location(path, int(found[1]), found[2]) if found else format_location(path, 1, text)
        raise UserError(f"{where}: {first_line(error)}") from None


def apply(statement: Any, path: Path | None, reading: ReadResult, includers: tuple[Path, ...]) -> None:
    location = statement.location
    where = format_location(path, location.line_num, location.line_content)
    try:
        match statement:
            case config_parser.BindingStatement(scope, name, "", value):
                macro = f"{scope}/{name}" if scope else name
                gin.bind_parameter((macro, "gin.macro", "value"), value)
                reading.bindings[macro] = Binding(None, "", macro, value, where)
            case config_parser.BindingStatement(scope, name, parameter, value):
                item, parameter = validated(name, parameter, value)
                binding = Binding(item, scope, parameter, value, where)
                if binding.name != reading.without:
                    bind(binding)
                    reading.bindings[binding.name] = binding
            case config_parser.ImportStatement(module) if not is_allowed(module, reading.allow_imports):
                reading.refused_imports.append((where, module))
            case config_parser.ImportStatement(module):
                importlib.import_module(module)
                reading.imports.append(statement.format())
                register_all()
    except (UserError, ImportError) as error:
        raise UserError(f"{where}: {first_line(error)}") from None
    if isinstance(statement, INCLUDE):
        try:
            included = included_file(statement.filename, path)
        except UserError as error:
            raise UserError(f"{where}: {error}") from None
        if included.resolve() in includers:
            raise UserError(f"{where}: {statement.filename} includes itself")
        read_file(included, reading, includers)


def included_file(name: str, path: Path | None) -> Path:
    """The file that an `include` in the file `path` means.

    Raises:
      UserError: there is none.
    """
    relative = (path or Path()).parent / name
    return relative if relative.is_file() else config_file(name)


def config_sha256(path: Path) -> str:
    """SHA-256 of a configuration file; with those of the files that it includes, if any.

    Raises:
      UserError: a file cannot be read.
    """
    digests, waiting = dict[Path, str](), [path]
    while waiting:
        file = waiting.pop().resolve()
        if file not in digests:
            digests[file] = files.sha256_of(file)
            found = [each for each in statements(files.read_text(file), file) if isinstance(each, INCLUDE)]
            waiting += [included_file(each.filename, file) for each in found]
    if len(digests) == 1:
        return digests[path.resolve()]
    return hashlib.sha256("".join(sorted(digests.values())).encode()).hexdigest()


def is_allowed(module: str, allowed: Collection[str] | None) -> bool:
    """Whether `module` is, or is part of, this library or an allowed module; None allows all."""
    return allowed is None or any(f"{module}.".startswith(f"{name}.") for name in (LIBRARY, *allowed))


def import_error(refused: Sequence[tuple[str, str]]) -> UserError:
    """The error for refused imports, each a place and a module."""
    place, _ = refused[0]
    modules = list(dict.fromkeys(module for _, module in refused))
    return UserError(
        f"{place}: the configuration imports {', '.join(modules)}, which would run code from outside "
        f"{LIBRARY}; if you trust this code, allow it by `--allow_imports {' '.join(modules)}`"
    )


def validated(name: str, parameter: str, value: Any) -> tuple[Exposed, str]:
    """The exposed object `name` and the current name of its parameter.

    Raises:
      UserError: there is no such parameter, or the value is invalid.
    """
    item = find(name, f"{name}.{parameter}")
    parameter = RENAMED.get(item.name, {}).get(parameter, parameter)
    from_base = inherited(item)
    known = parameters(item) | from_base
    if parameter not in known:
        elsewhere = BOUND_ELSEWHERE.get(item.name, BOUND_ELSEWHERE["ModularGAN"] if from_base else {})
        binding = elsewhere.get(parameter)
        hint = f"; bind {binding}" if binding else did_you_mean(parameter, known) if known else ""
        raise UserError(f"{name} has no parameter {parameter!r} to bind{hint}")
    if parameter in ("g_lr", "d_lr") and is_schedule(value):
        raise UserError(
            f"{name}.{parameter} is a number; bind a schedule of both learning rates as "
            f"`ModularGAN.lr_schedule = @{value.selector}`"
        )
    if not has_reference(value):
        check(label(item), GAN if parameter in from_base else item.target, {parameter: value})
    return item, parameter


def bind(binding: Binding) -> None:
    assert binding.item is not None
    selector = f"{binding.item.module}.{binding.item.name}"
    gin.bind_parameter((binding.scope, selector, binding.parameter), binding.value)


def find(name: str, quoted: str = "") -> Exposed:
    """The exposed object with full name or suffix `name`. Error messages show `quoted` instead, if set."""
    if name in EXPOSED:
        return EXPOSED[name]
    matches = [item for key, item in EXPOSED.items() if key.endswith(f".{name}")]
    if not matches:
        for missing, reason in MISSING.items():
            if f".{name}".endswith(f".{missing}"):
                raise UserError(f"{quoted or name}: {reason}")
        known = {*map(label, EXPOSED.values()), *(EXPOSED if "." in name else ())}
        raise UserError(f"nothing is named {name!r}{did_you_mean(name, known)}")
    if len(matches) > 1:
        raise UserError(f"{name!r} is ambiguous; use one of {', '.join(sorted(map(label, matches)))}")
    return matches[0]


class Names(gin.config.ParserDelegate):
    """Resolves the @references of a configuration."""

    def configurable_reference(self, scoped_selector: str, evaluate: bool) -> Any:
        find(scoped_selector.rpartition("/")[2])
        return super().configurable_reference(scoped_selector, evaluate)


def is_schedule(value: Any) -> bool:
    """Whether a value is a reference to a schedule."""
    if not isinstance(value, gin.config.ConfigurableReference) or value.selector.startswith("gin."):
        return False  # a macro
    target = find(value.selector).target
    return any(SCHEDULES[name] is target for name in SCHEDULES)


def has_reference(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return any(map(has_reference, value))
    return isinstance(value, gin.config.ConfigurableReference)


def format_location(path: Path | None, number: int | None, line: str = "") -> str:
    return f"{path}:{number}" if path else f"binding {line.strip()!r}"


def first_line(error: Exception) -> str:
    """The first line of an error, without the context that gin appends."""
    return next(iter(str(error).splitlines()), "").rstrip(".")
