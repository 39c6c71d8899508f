/** What a table's status is called, and how good it is. */
import type { WireStatus } from "../../../http/src/internal/wire.ts"

export type Mood = "good" | "busy" | "bad" | "idle"

export const moodOf = (status: WireStatus): Mood => {
  switch (status._tag) {
    case "CaughtUp":
      return "good"
    case "Failed":
      return "bad"
    case "Closed":
      return "idle"
    default:
      return "busy"
  }
}

export const labelOf = (status: WireStatus): string => {
  switch (status._tag) {
    case "CaughtUp":
      return "Live"
    case "Loading":
      return "Catching up"
    case "Degraded":
      return "Incomplete"
    case "Rebuilding":
      return "Rebuilding"
    default:
      return status._tag
  }
}

/** How much of the log has been read, from 0 to 1; undefined where nothing is being read. */
export const progressOf = ({ replayed, target }: WireStatus): number | undefined =>
  replayed === undefined || target === undefined ? undefined : target === 0 ? 1 : Math.min(1, replayed / target)
