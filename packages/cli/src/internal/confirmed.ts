/**
 * Asks a person before something is lost; where there is none, nothing is done.
 */
import { Effect, type Terminal } from "effect"
import * as Prompt from "effect/cli/Prompt"
import { TerminalCapabilities } from "effect/cli/TerminalCapabilities"
import { type CommandFailed, failed } from "./failure.ts"

/** Succeeds when the answer is yes; `otherwise` says what was not done. */
export const confirmed = Effect.fnUntraced(function* (
  question: string,
  otherwise: string
): Effect.fn.Return<void, CommandFailed | Terminal.QuitError, Prompt.Environment> {
  const { canPrompt } = yield* TerminalCapabilities
  if (!canPrompt) {
    return yield* failed("unconfirmed", `${otherwise}, since there is no terminal to ask on; say --yes to do it`)
  }
  if (yield* Prompt.run(Prompt.Confirm({ message: question }))) return
  return yield* failed("unconfirmed", otherwise)
})
