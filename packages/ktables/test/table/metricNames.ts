/**
 * What `promtool check metrics` would say of an exposition: its rules, as
 * https://prometheus.io/docs/practices/naming/ and the linter of client_golang (promlint) have them.
 */

const TYPES = ["counter", "gauge", "histogram", "summary", "info", "stateset", "metric"]
/** Units that are not base units, or are abbreviated. */
const UNITS = new Map(
  Object.entries({
    ms: "seconds",
    millis: "seconds",
    milliseconds: "seconds",
    micros: "seconds",
    microseconds: "seconds",
    us: "seconds",
    ns: "seconds",
    nanoseconds: "seconds",
    sec: "seconds",
    secs: "seconds",
    s: "seconds",
    minutes: "seconds",
    hours: "seconds",
    days: "seconds",
    kb: "bytes",
    kilobytes: "bytes",
    mb: "bytes",
    megabytes: "bytes",
    bits: "bytes",
    percent: "ratio"
  })
)

export const faultsOf = (exposition: string): ReadonlyArray<string> => {
  const faults: Array<string> = []
  const helped = new Set<string>()
  const types = new Map<string, string>()
  for (const line of exposition.split("\n")) {
    const help = /^# HELP (\S+) (.+)$/.exec(line)
    if (help !== null) helped.add(help[1]!)
    const type = /^# TYPE (\S+) (\S+)$/.exec(line)
    if (type !== null) types.set(type[1]!, type[2]!)
    const sample = /^([^#\s{][^\s{]*)/.exec(line)
    if (sample !== null && !types.has(sample[1]!.replace(/_(sum|count|bucket)$/, "")) && !types.has(sample[1]!)) {
      faults.push(`${sample[1]} has no type`)
    }
  }
  for (const [name, type] of types) {
    const words = name.split("_")
    if (!helped.has(name)) faults.push(`${name}: no help text`)
    if (!/^[a-z_][a-z0-9_]*$/.test(name)) faults.push(`${name}: not in lower snake case, or with a colon`)
    if (type === "counter" && !name.endsWith("_total"))
      faults.push(`${name}: counter metrics should have "_total" suffix`)
    if (type !== "counter" && name.endsWith("_total"))
      faults.push(`${name}: non-counter metrics should not have "_total" suffix`)
    if (type !== "histogram" && type !== "summary" && /_(bucket|sum|count)$/.test(name)) {
      faults.push(`${name}: the suffixes of histograms and summaries are theirs`)
    }
    for (const word of words) {
      if (TYPES.includes(word)) faults.push(`${name}: metric name should not include type '${word}'`)
      const base = UNITS.get(word)
      if (base !== undefined) faults.push(`${name}: use base unit "${base}" instead of "${word}"`)
    }
  }
  return faults
}
