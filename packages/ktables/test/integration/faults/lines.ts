/** What is logged, for tests that read it. */
import { Effect, Logger } from "effect"

/** Runs an effect with its log lines, `level message`, in a list. */
export const withLines = <A, E, R>(
  body: (lines: ReadonlyArray<string>) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    const lines: Array<string> = []
    const logger = Logger.make<unknown, void>(({ logLevel, message }) => {
      lines.push(`${logLevel} ${Array.isArray(message) ? message.join(" ") : String(message)}`)
    })
    return Effect.provide(body(lines), Logger.layer([logger]))
  })
