"""What the command line can say of a provisioner: the flags of every type that an enabled plugin offers."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from mica.cli import console, passwords
from mica.cli.ca import desk
from mica.cli.ca.answers import reported
from mica.cli.ca.configuration import read_settings
from mica.cli.ca.fieldflags import FieldFlag, field_flags, given, parameter
from mica.cli.errors import CLIError, Usage
from mica.cli.options import FILE, CommandLineOnly
from mica.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from mica.client import TableMaker, TableOption
    from mica.config import Settings

#: Claims whose flags have step's names; the others are called like their fields.
CLAIM_FLAGS = {
    "min_tls_cert_duration": "x509-min-dur",
    "max_tls_cert_duration": "x509-max-dur",
    "default_tls_cert_duration": "x509-default-dur",
    **{
        f"{which}_{cert_type}_ssh_cert_duration": f"ssh-{cert_type}-{which}-dur"
        for cert_type in ("user", "host")
        for which in ("min", "max", "default")
    },
    "enable_ssh_ca": "ssh",
}
_META = "mica.cli.ca.offers"
_BROUGHT = f"{_META}.brought"
_LENIENT = {"ignore_unknown_options": True, "allow_extra_args": True}


class Offer(NamedTuple):  # a dataclass is slow to make
    """One type of provisioner, and what can be said of it."""

    type: str
    """The kind's name, as ``ca.toml`` has it."""
    flags: tuple[FieldFlag, ...]
    claims: tuple[FieldFlag, ...]
    maker: "TableMaker | None" = None

    def options(self, *, removable: bool) -> Iterator[click.Option]:
        """Its own flags for click, without those of the claims."""
        label = self.type.upper()
        for option in self.maker.options if self.maker else ():
            yield _maker_option(option, label)
        for flag in self.flags:
            yield from flag._replace(help=f"{label}: {flag.help}").options(removable=removable)

    def fill(self, table: dict[str, Any], values: Mapping[str, Any], directory: "Path", *, creating: bool) -> None:
        """What ``values`` say is in ``table``, a provisioner's; raises Usage, FileProblem, PromptNeeded."""
        said = given(values)
        self._refuse_foreign(said)
        self._ask_maker(table, said, values["password_file"], creating=creating)
        for flag in self.flags:
            flag.apply(table, said, directory)
        claims = table.pop("claims", {})
        for flag in self.claims:
            flag.apply(claims, said, directory)
        if claims:
            table["claims"] = claims

    def _refuse_foreign(self, said: Mapping[str, Any]) -> None:
        makers = {parameter(option.flag) for option in self.maker.options} if self.maker else set()
        fields = {parameter(f"{prefix}{f.name}") for f in (*self.flags, *self.claims) for prefix in ("", "remove-")}
        for name in said:
            if name not in makers | fields:
                flag = name.removeprefix(parameter("")).replace("_", "-")
                raise Usage(f"flag '--{flag}' is not for provisioners of the type {self.type}")

    def _ask_maker(
        self, table: dict[str, Any], said: Mapping[str, Any], password_source: str | None, *, creating: bool
    ) -> None:
        """What no field's flag can say is in ``table``."""
        if self.maker is None:
            return
        asked = {o.key: said[parameter(o.flag)] for o in self.maker.options if parameter(o.flag) in said}
        if not asked and not creating:
            return
        with reported():
            try:
                made = self.maker.table(table["name"], asked, _Desk(passwords.given(password_source)))
            except ValueError as error:
                raise Usage(str(error)) from error
        for member, value in made.items():
            if value is None:
                table.pop(member, None)
            else:
                table[member] = value


class _Desk(desk.CommandLineDesk):
    """What makes a table is lent files and passwords, old and new."""

    def __init__(self, password: bytes | None) -> None:
        super().__init__(None, key_file=None, password=password, flag="--password-file")
        self._given = password

    def new_password(self, label: str, flag: str) -> bytes:
        """A password for something new: the one that was given, or one that is asked for twice."""
        return self._given if self._given is not None else console.ask_password(label, flag=flag, new=True)


class TypedCommand(click.Command):
    """A command with a flag for whatever the enabled plugins let a provisioner's table hold."""

    help_reads_defaults = True
    """They may name the configuration that enables the plugins."""

    def __init__(self, *arguments: Any, removable: bool = False, **attributes: Any) -> None:
        super().__init__(*arguments, **attributes)
        self._removable = removable

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """The configuration is read before the flags, to know which there are."""
        try:
            settings = read_settings(self._value("ca_config", ctx, args))
            type_ = self._value("type_", ctx, args)
            ctx.meta[_META] = offers = _offers(_with_plugin(settings, type_))
            type_ = type_ or self._type_of_named(settings, ctx, args)
            if type_ is not None:  # before flags that nobody brings are called unknown
                meant = find(offers, type_, settings.path)
                ctx.meta[_META] = (meant, *(offer for offer in offers if offer is not meant))
                ctx.meta.pop(_BROUGHT, None)
        except (CLIError, ConfigError):
            if not ctx.resilient_parsing and not {"-h", "--help"}.intersection(args):
                raise
        return super().parse_args(ctx, _as_switches(self._brought(ctx), args))

    def _value(self, name: str, ctx: click.Context, args: Sequence[str]) -> Any:
        """What ``args`` say for the parameter ``name`` of the command's own; None when it has none of that name."""
        return next((_typed(option, ctx, args) for option in self.params if option.name == name), None)

    def _type_of_named(self, settings: "Settings", ctx: click.Context, args: Sequence[str]) -> str | None:
        """The type of the provisioner that ``args`` name; None where there is none of that name yet."""
        switched = _as_switches(self._brought(ctx), args)
        probe = click.Command("probe", params=self.get_params(ctx), context_settings=_LENIENT, add_help_option=False)
        with probe.make_context(ctx.info_name, switched, resilient_parsing=True) as probed:
            name = probed.params.get("name")
        return next((str(table.get("type")) for table in settings.core.provisioners if table.get("name") == name), None)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Those of every type, then its own."""
        return [*self._brought(ctx), *super().get_params(ctx)]

    def _brought(self, ctx: click.Context) -> list[click.Option]:
        """The flags of all types and of the claims; raises CLIError when one is mica's own."""
        made: dict[click.Command, list[click.Option]] = ctx.meta.setdefault(_BROUGHT, {})
        if self not in made:  # click asks several times
            made[self] = self._made(ctx)
        return made[self]

    def _made(self, ctx: click.Context) -> list[click.Option]:
        """Each flag once, as the first type has it that brings it; the type that is meant is the first."""
        own = {name for parameter in super().get_params(ctx) for name in (*parameter.opts, *parameter.secondary_opts)}
        brought: dict[str, click.Option] = {}
        for offer in found(ctx):
            for option in offer.options(removable=self._removable):
                if taken := own.intersection((*option.opts, *option.secondary_opts)):
                    raise CLIError(f"the type {offer.type} brings the flag {min(taken)}, which is mica's own")
                brought.setdefault(option.opts[0], option)
        for flag in _claims():
            brought.update((option.opts[0], option) for option in flag.options(removable=False))
        return list(brought.values())


def found(context: click.Context) -> tuple[Offer, ...]:
    """What the enabled plugins offer, as the command has found it; without a configuration, nothing."""
    if _META not in context.meta:  # help was asked for without calling the command
        try:
            context.meta[_META] = _offers(read_settings(None))
        except (CLIError, ConfigError):
            context.meta[_META] = ()
    offers: tuple[Offer, ...] = context.meta[_META]
    return offers


def find(offers: Iterable[Offer], type_: str, path: "Path") -> Offer:
    """The one of them for that type; raises CLIError when there is none."""
    known = tuple(offers)
    for offer in known:
        if offer.type in (type_, type_.lower()):
            return offer
    listed = ", ".join(offer.type for offer in known) or "none"
    raise CLIError(
        f"no enabled plugin offers provisioners of the type {type_}; offered: {listed}",
        hint=f"install its plugin, and add its name to plugins in {path}",
    )


def _with_plugin(settings: "Settings", type_: str | None) -> "Settings":
    """``settings`` that enable the plugin with the type's name as well, where one is installed."""
    from dataclasses import replace  # slow to import
    from importlib.metadata import entry_points

    from mica import pins
    from mica.hooks import GROUP

    name = (type_ or "").lower()
    if name in pins.names(settings.core.plugins) or not entry_points(group=GROUP, name=name):
        return settings
    return replace(settings, core=replace(settings.core, plugins=(*settings.core.plugins, name)))


def _offers(settings: "Settings") -> tuple[Offer, ...]:
    from mica.assembly import Assembly
    from mica.clock import system_clock
    from mica.config import ProvisionerConfig
    from mica.hooks import Hooks

    assembly = Assembly(settings, Hooks(), system_clock)
    assembly.load_plugins({})  # what is wrong with them is reported when the change is checked
    own = set(ProvisionerConfig.__dataclass_fields__)
    return tuple(
        Offer(type=kind.name, flags=field_flags(kind.config, without=own), claims=_claims(), maker=_maker(kind.name))
        for kind in assembly.kinds("register_provisioners").values()
    )


def _claims() -> tuple[FieldFlag, ...]:
    from mica.claims import ClaimsConfig

    return field_flags(ClaimsConfig, names=CLAIM_FLAGS)


def _maker(type_: str) -> "TableMaker | None":
    from mica.client import TableMaker  # the client is slow to import
    from mica.client.sources import installed

    with reported():
        entry = installed().get(type_)
    source = entry.load()() if entry else None
    return source if isinstance(source, TableMaker) else None


def _maker_option(option: "TableOption", label: str) -> click.Option:
    spelled, help = [option.flag, parameter(option.flag)], f"{label}: {option.help}"
    if option.is_flag:
        return CommandLineOnly(spelled, is_flag=True, default=None, help=help)
    return CommandLineOnly(spelled, type=FILE, help=help)


def _typed(option: click.Parameter, ctx: click.Context, args: Sequence[str]) -> Any:
    """The value of ``option``, whatever the other flags are."""
    help_ = click.Option(["-h", "--help"], is_flag=True, expose_value=False)  # it asks for help later
    probe = click.Command("probe", params=[option, help_], add_help_option=False, context_settings=_LENIENT)
    with probe.make_context(ctx.info_name, list(args), resilient_parsing=True, default_map=ctx.default_map) as probed:
        return probed.params.get(str(option.name))


def _as_switches(options: Iterable[click.Option], args: Sequence[str]) -> list[str]:
    """``args`` with ``--flag=false`` as ``--no-flag``; the shell does so for the flags that a command always has."""
    negative = {name: option.secondary_opts[0] for option in options if option.secondary_opts for name in option.opts}
    rewritten: list[str] = []
    for index, argument in enumerate(args):
        if argument == "--":
            return [*rewritten, *args[index:]]
        name, equals, value = argument.partition("=")
        if not equals or name not in negative:
            rewritten.append(argument)
            continue
        try:
            rewritten.append(name if click.BOOL.convert(value, None, None) else negative[name])
        except click.BadParameter as error:
            raise click.UsageError(f"invalid value {value!r} for flag {name!r}: true or false") from error
    return rewritten
