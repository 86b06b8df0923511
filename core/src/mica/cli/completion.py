"""``mica completion bash|zsh|fish``: a script for the shell, and the answers to what it asks.

The script calls ``mica completion SHELL -- WORDS…`` with the words up to the cursor, and gets a line for each
candidate: its kind (``plain``, or ``file`` for whatever files there are), the word, and for zsh and fish its help.
"""

import click
from click.shell_completion import CompletionItem, ShellComplete, split_arg_string

from mica.cli import options
from mica.cli.console import product
from mica.cli.shell import Group

_BASH = """\
_mica_completion() {
    local line="${COMP_LINE:0:COMP_POINT}" kind word
    # What bash takes for a word begins anew after = : and @; what precedes is not to be typed again.
    local typed="${line##*[[:space:]]}"
    local stem="${typed%"$2"}"
    COMPREPLY=()
    while IFS=$'\\t' read -r kind word; do
        [[ $kind == plain ]] && COMPREPLY+=("${word#"$stem"}")
    done < <("$1" completion bash -- "$line" 2>/dev/null)
}
complete -o default -F _mica_completion mica
"""

_ZSH = """\
#compdef mica
_mica() {
    local -a candidates
    local kind word about files
    while IFS=$'\\t' read -r kind word about; do
        case $kind in
            file) files=1 ;;
            plain) candidates+=("${word//:/\\\\:}${about:+:$about}") ;;
        esac
    done < <("${words[1]}" completion zsh -- "${(@Q)words[2,CURRENT]}" 2>/dev/null)
    (( $#candidates )) && _describe mica candidates
    [[ -n $files ]] && { compset -P '--*='; _files }
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _mica "$@"
else
    compdef _mica mica
fi
"""

_FISH = """\
function __mica_completion
    set -l token (commandline -ct)
    for line in (mica completion fish -- (commandline -opc)[2..] $token 2>/dev/null)
        set -l parts (string split -m 1 \\t -- $line)
        switch $parts[1]
            case plain
                echo $parts[2]
            case file
                set -l flag (string match -r -- '^--[^=]*=' $token)
                for file in (__fish_complete_path (string replace -r -- '^--[^=]*=' '' $token))
                    echo "$flag$file"
                end
        end
    end
end
complete -c mica -f -a '(__mica_completion)'
"""


@click.command(epilog=options.examples("mica completion bash"))
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="")
@click.pass_context
def bash(context: click.Context, words: tuple[str, ...]) -> None:
    """Print the script for bash; to be put into /etc/bash_completion.d/mica, or sourced by ~/.bashrc."""
    if not words:
        product(_BASH, nl=False)
        return
    line = words[0]
    split = split_arg_string(line)[1:]
    _answer(context, split if line[-1:].strip() else [*split, ""], helpful=False)


@click.command(epilog=options.examples("mica completion zsh"))
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="")
@click.pass_context
def zsh(context: click.Context, words: tuple[str, ...]) -> None:
    """Print the script for zsh; to be put into a folder of $fpath as _mica, or sourced after compinit."""
    _answer(context, list(words), helpful=True) if words else product(_ZSH, nl=False)


@click.command(epilog=options.examples("mica completion fish"))
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="")
@click.pass_context
def fish(context: click.Context, words: tuple[str, ...]) -> None:
    """Print the script for fish; to be put into ~/.config/fish/completions/mica.fish."""
    _answer(context, list(words), helpful=True) if words else product(_FISH, nl=False)


def _answer(context: click.Context, words: list[str], *, helpful: bool) -> None:
    root = context.find_root().command
    *before, last = words
    for item in _candidates(root, before, last):
        about = " ".join((item.help or "").split()) if helpful else ""
        product("\t".join(filter(None, (str(item.type), str(item.value), about))))


def _candidates(root: click.Command, before: list[str], last: str) -> list[CompletionItem[str]]:
    """What may stand in the place of ``last``: whole words. Files where nothing else is known."""
    found = ShellComplete(root, {}, "mica", "_MICA_COMPLETE").get_completions(list(before), last)
    # The flag itself is part of the word --flag=value.
    flag = f"{last.partition('=')[0]}=" if last.startswith("--") and "=" in last else ""
    command = _called(root, before)
    spelt = _choices(command, last.removeprefix(flag))
    plain = [
        CompletionItem(flag + spelt.get(item.value, item.value), help=item.help)
        for item in found
        if item.type == "plain"
    ]
    if plain or (last.startswith("-") and not flag) or isinstance(command, Group):
        return plain
    return [CompletionItem(last, type="file")]


def _called(root: click.Command, words: list[str]) -> click.Command:
    """The command that the words lead to, or the group."""
    command = root
    for word in words:
        member = command.get_command(click.Context(command), word) if isinstance(command, Group) else None
        if member is None:
            break
        command = member
    return command


def _choices(command: click.Command, typed: str) -> dict[str, str]:
    """How the values of the flags are spelt; click offers them in lower case. What was typed already stays."""
    choices = [str(choice) for option in command.params for choice in getattr(option.type, "choices", ())]
    return {choice.lower(): choice for choice in choices if choice.startswith(typed)}
