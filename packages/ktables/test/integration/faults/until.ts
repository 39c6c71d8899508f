/** Waits for conditions, with a bound. */
import { Effect, Schedule } from "effect"

/** Looks every few milliseconds until the condition holds; a condition that never does is a defect named `what`. */
export const until = (
  what: string | (() => string),
  condition: Effect.Effect<boolean> | (() => boolean),
  bound: string = "60 seconds"
): Effect.Effect<void> =>
  Effect.repeat(typeof condition === "function" ? Effect.sync(condition) : condition, {
    schedule: Schedule.spaced("10 millis"),
    until: (holds: boolean) => holds
  }).pipe(
    Effect.timeoutOrElse({
      duration: bound as "60 seconds",
      orElse: () => Effect.die(new Error(`never in ${bound}: ${typeof what === "string" ? what : what()}`))
    }),
    Effect.asVoid
  )
