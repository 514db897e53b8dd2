# bash completion for rebound:  source scripts/completions/rebound.bash
# Verbs and flags are read from the program's own --help, so they cannot go stale.
_rebound() {
  local word="${COMP_WORDS[COMP_CWORD]}" verbs=() i
  for ((i = 1; i < COMP_CWORD; i++)); do
    [[ "${COMP_WORDS[i]}" == -* ]] && break
    verbs+=("${COMP_WORDS[i]}")
  done
  local help
  help="$("${COMP_WORDS[0]}" "${verbs[@]}" --help 2>/dev/null)" || return
  # Flags of the program itself may follow any verb.
  if [[ "$word" == -* && ${#verbs[@]} -gt 0 ]]; then help+=$'\n'"$("${COMP_WORDS[0]}" --help)"; fi
  if [[ "$word" == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$(grep -oE -- '(^|[ ,])--[a-z][a-z0-9-]*' <<<"$help" | tr -d ' ,')" -- "$word")
  else
    mapfile -t COMPREPLY < <(compgen -W "$(awk '/^Subcommands:/ {on = 1; next} on && /^  [a-z]/ {print $1}' <<<"$help")" -- "$word")
    ((${#COMPREPLY[@]})) || mapfile -t COMPREPLY < <(compgen -f -- "$word")
  fi
}
complete -o filenames -F _rebound rebound
