# bash completion for rebound:  source scripts/completions/rebound.bash
# Verbs, flags, their choices and presets are read from the program's own --help, so they cannot go
# stale.
_rebound() {
  local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD - 1]}" verbs=() i
  for ((i = 1; i < COMP_CWORD; i++)); do
    [[ "${COMP_WORDS[i]}" == -* ]] && break
    verbs+=("${COMP_WORDS[i]}")
  done
  local help own
  help="$("${COMP_WORDS[0]}" "${verbs[@]}" --help 2>/dev/null)" || return
  own="$help"
  # Flags of the program itself may follow any verb.
  if [[ "$word$before" == *-* && ${#verbs[@]} -gt 0 ]]; then
    help+=$'\n'"$("${COMP_WORDS[0]}" --help)"
  fi
  local words=""
  if [[ "$word" == -* ]]; then
    words="$(sed -nE 's/^ +(-[a-z],)?(--[a-z][a-z0-9-]*).*/\2/p' <<<"$help")"
  elif [[ "$before" == --* ]]; then
    words="$(sed -nE "s/^ +(-[a-z],)?$before [A-Z]+:\{([^}]*)\}.*/\2/p" <<<"$help" | tr ',' ' ')"
  fi
  if [[ "$word" != -* && -z "$words" ]]; then
    words="$(awk '/^Subcommands:/ {on = 1; next} on && /^  [a-z]/ {print $1}' <<<"$own")"
    # A preset stands where the spec does, not behind a flag that takes a value.
    if [[ "$before" == audit ]]; then
      words+=" $(sed -nE 's/.*Preset \(([^)]*)\).*/\1/p' <<<"$own" | tr -d ',')"
    fi
  fi
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
  if [[ "$word" != -* && ${#COMPREPLY[@]} -eq 0 ]]; then
    mapfile -t COMPREPLY < <(compgen -f -- "$word")
  fi
}
complete -o filenames -F _rebound rebound
