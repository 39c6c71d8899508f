/**
 * An effect that reads what is there already. A generator that yields it gets the value on the spot, as from a plain call:
 * neither its fiber nor the run loop has a part in it.
 */
import { Effect, Effectable } from "effect"

interface Reading<I, A> extends Effect.Effect<A> {
  readonly read: (input: I) => A
  readonly input: I
}

const Prototype = Effectable.Prototype<Reading<unknown, unknown>>({
  label: "Reading",
  evaluate() {
    return Effect.succeed(this.read(this.input))
  }
})

/** No class: the chain of constructors would cost as much as the rest. */
const Reading = function <I, A>(this: { read: (input: I) => A; input: I }, read: (input: I) => A, input: I): void {
  this.read = read
  this.input = input
} as unknown as new <I, A>(read: (input: I) => A, input: I) => Reading<I, A>

Reading.prototype = Object.assign(Object.create(Prototype), {
  /** The iterator has no state, so the effect is its own, as often as it is asked. */
  [Symbol.iterator](this: Reading<unknown, unknown>) {
    return this
  },
  next(this: Reading<unknown, unknown>): IteratorReturnResult<unknown> {
    return { done: true, value: this.read(this.input) }
  }
})

/** Reads anew each time it is run. */
export const reading = <I, A>(read: (input: I) => A, input: I): Effect.Effect<A> => new Reading(read, input)
