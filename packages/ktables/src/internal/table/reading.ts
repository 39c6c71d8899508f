/**
 * An effect that reads what is there already. A generator that yields it gets the value on the spot, as from a plain call:
 * neither its fiber nor the run loop has a part in it, but for once in a while.
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

/** Reads on the spot until others have their turn: a loop that only reads must not keep everybody else waiting. */
const ON_THE_SPOT = 16_384
let left = ON_THE_SPOT
const turn = Effect.withFiber((fiber) => (fiber.cache.preventYield ? Effect.void : Effect.yieldNow))

Reading.prototype = Object.assign(Object.create(Prototype), {
  /** The iterator has no state, so the effect is its own, as often as it is asked. */
  [Symbol.iterator](this: Reading<unknown, unknown>) {
    return this
  },
  next(this: Reading<unknown, unknown>): IteratorResult<Effect.Effect<void>, unknown> {
    if (--left > 0) return { done: true, value: this.read(this.input) }
    left = ON_THE_SPOT
    return { done: false, value: turn }
  }
})

/** Reads anew each time it is run. */
export const reading = <I, A>(read: (input: I) => A, input: I): Effect.Effect<A> => new Reading(read, input)
