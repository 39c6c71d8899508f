/**
 * Judges an existing topic's settings by what they do to a table: which of them let the broker drop records that a table
 * still shows, or forget deletions before a table has read them.
 */
import { PolicyMismatch } from "../../TableError.ts"

export type Settings = ReadonlyMap<string, string | undefined>

export interface Judgement {
  /** Settings that are not as the definition declares them, to the table's harm. */
  readonly mismatches: ReadonlyArray<PolicyMismatch>
  /** Sentences about settings that nobody declared and that harm a table. */
  readonly cautions: ReadonlyArray<string>
}

/** A table that is away for longer than tombstones are kept reads its topic again; this long passes in any restart of a broker. */
const SHORT_TOMBSTONES = 60_000

const policiesOf = (policy: string): ReadonlyArray<string> =>
  policy
    .split(",")
    .map((one) => one.trim())
    .filter((one) => one !== "")
    .sort()

/** A limit as a number; -1 stands for none. Undefined when there is no such setting, or nothing that can be read. */
const limitOf = (setting: string | undefined): number | undefined => {
  const limit = Number(setting)
  if (setting === undefined || setting.trim() === "" || Number.isNaN(limit)) return undefined
  return limit < 0 ? Infinity : limit
}

const harmOfShorter: Readonly<Record<string, string>> = {
  "retention.ms": "the broker deletes entries sooner than that",
  "retention.bytes": "the broker deletes entries at a smaller size than that",
  "delete.retention.ms":
    "deletions are forgotten sooner than that, and a table that was away for longer reads the topic again"
}

/** `policy` is the topic's own `cleanup.policy`. */
export const judge = (
  topic: string,
  declared: Readonly<Record<string, string>>,
  actual: Settings,
  policy: string
): Judgement => {
  const expected = declared["cleanup.policy"] ?? "compact"
  const wanted = policiesOf(expected)
  const found = policiesOf(policy)
  const mismatches: Array<PolicyMismatch> = []
  const cautions: Array<string> = []

  if (found.join() !== wanted.join()) {
    const harm =
      found.includes("delete") && !wanted.includes("delete")
        ? "the broker deletes entries that are still wanted"
        : "the broker keeps records that are not wanted"
    mismatches.push(new PolicyMismatch({ topic, setting: "cleanup.policy", expected, actual: policy, harm }))
  }
  // What is deleted beside the declared policy is said by that mismatch.
  const limits = wanted.includes("delete") ? ["retention.ms", "retention.bytes"] : []
  for (const setting of [...limits, "delete.retention.ms"]) {
    const limit = limitOf(actual.get(setting))
    const least = limitOf(declared[setting])
    if (limit === undefined) continue
    if (least !== undefined) {
      if (limit >= least) continue
      const harm = harmOfShorter[setting]!
      const place = { topic, setting, expected: declared[setting]!, actual: actual.get(setting)! }
      mismatches.push(new PolicyMismatch({ ...place, harm }))
    } else if (setting === "delete.retention.ms") {
      if (limit >= SHORT_TOMBSTONES) continue
      cautions.push(
        `${topic} has delete.retention.ms=${limit}: deletions are forgotten so soon that a table that was away for longer reads the topic again`
      )
    } else if (limit !== Infinity) {
      cautions.push(
        `${topic} has ${setting}=${limit}: entries that are not written again within it go; declare it in the definition's config where that is meant`
      )
    }
  }
  const unclean = "unclean.leader.election.enable"
  if (actual.get(unclean) === "true" && declared[unclean] !== "true") {
    cautions.push(`${topic} has ${unclean}=true: an election may drop acknowledged records`)
  }
  return { mismatches, cautions }
}
