/** What changed between two runs of the suite. */
import { directionOf, identity, type NumberName, numbers, type Summary } from "./Measurement.ts"

export interface Difference {
  readonly summary: Summary
  readonly name: NumberName
  readonly before: number
  readonly after: number
  /** How many times worse the second run is: above 1 worse, below 1 better. */
  readonly worse: number
}

export interface Comparison {
  readonly differences: ReadonlyArray<Difference>
  /** Measurements that only one of the runs has. */
  readonly unmatched: ReadonlyArray<Summary>
}

export const compare = (before: ReadonlyArray<Summary>, after: ReadonlyArray<Summary>): Comparison => {
  const earlier = new Map(before.map((summary) => [identity(summary), summary]))
  const later = new Set(after.map(identity))
  const differences = after.flatMap((summary) => {
    const old = earlier.get(identity(summary))
    return numbers.flatMap((name): ReadonlyArray<Difference> => {
      const direction = directionOf(name)
      const a = old?.[name]
      const b = summary[name]
      if (direction === "neutral" || a === undefined || b === undefined || a <= 0 || b <= 0) return []
      return [{ summary, name, before: a, after: b, worse: direction === "more" ? a / b : b / a }]
    })
  })
  const unmatched = [
    ...before.filter((summary) => !later.has(identity(summary))),
    ...after.filter((summary) => !earlier.has(identity(summary)))
  ]
  return { differences, unmatched }
}

const describe = ({ metric, client, topic, decode, detail }: Summary): string =>
  [metric, client, topic, decode, detail].filter((part) => part !== undefined).join(" · ")

/** A line per difference, worst first. */
export const lines = ({ differences, unmatched }: Comparison, threshold: number): ReadonlyArray<string> => [
  ...[...differences]
    .sort((a, b) => b.worse - a.worse)
    .map(({ summary, name, before, after, worse }) => {
      const mark = worse > threshold ? "WORSE " : worse < 1 / threshold ? "better" : "      "
      const change = `${((after / before - 1) * 100).toFixed(1)} %`
      return `${mark} ${describe(summary)}: ${name} ${before.toPrecision(4)} -> ${after.toPrecision(4)} (${change})`
    }),
  ...unmatched.map((summary) => `only in one run: ${describe(summary)}`)
]
