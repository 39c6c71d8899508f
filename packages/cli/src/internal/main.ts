/**
 * Runs the command as a process does: results on standard output, everything else on standard error, and an exit code.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Cause, Console, Data, Effect, Layer, Logger, References, Runtime } from "effect"
import { isCliError } from "effect/cli/CliError"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import * as Ktables from "../Ktables.ts"
import { ExitCode } from "./failure.ts"
import manifest from "../../package.json" with { type: "json" }

/** Ends the process with a code, after everything was said. */
class Ended extends Data.TaggedError("Ended")<{ readonly code: number }> {
  override readonly [Runtime.errorExitCode] = this.code
}

/** As effect's own, but a mistake is not answered with pages of help among the results. */
const presenter: CliOutput.Presenter = {
  present: (event) => {
    if (event._tag !== "InvalidInvocation") return CliOutput.defaultPresenter.present(event)
    return Effect.gen(function* () {
      const formatter = yield* CliOutput.Formatter
      yield* Console.error(formatter.formatErrors(event.errors).trim())
      yield* Console.error(`\nSee ${event.commandPath.join(" ")} --help`)
    })
  }
}

const logger = Logger.withConsoleError(
  Logger.make(({ logLevel, message }) => {
    const text = Array.isArray(message) ? message.map(String).join(" ") : String(message)
    return `ktables: ${logLevel.toLowerCase()}: ${text}`
  })
)

const say = (sentence: string, code: number): Effect.Effect<never, Ended> =>
  Effect.andThen(Console.error(`ktables: ${sentence}`), Effect.fail(new Ended({ code })))

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** Only a defect is worth its stack. */
const ended = <E>(cause: Cause.Cause<E>): Effect.Effect<void, Ended> => {
  if (Cause.hasInterruptsOnly(cause)) return Effect.failCause(cause as Cause.Cause<never>)
  const error = Cause.squash(cause)
  if (isCliError(error)) {
    if (error._tag !== "ShowHelp") return say(error.message, ExitCode.usage)
    return error.errors.length === 0 ? Effect.void : Effect.fail(new Ended({ code: ExitCode.usage }))
  }
  if (Cause.hasDies(cause)) return say(`a fault of ktables itself: ${Cause.pretty(cause)}`, ExitCode.failed)
  return say(messageOf(error), Runtime.getErrorExitCode(error))
}

export const main = (args: ReadonlyArray<string>): Effect.Effect<void, Ended> =>
  Command.runWith(Ktables.command, { version: manifest.version })(args).pipe(
    Effect.provide(
      Layer.mergeAll(
        NodeServices.layer,
        CliOutput.layerPresenter(presenter),
        Logger.layer([logger]),
        // What the library says of each table that it read is no news here; --log-level info shows it.
        Layer.succeed(References.MinimumLogLevel, "Warn")
      )
    ),
    Effect.catchCause(ended)
  )
