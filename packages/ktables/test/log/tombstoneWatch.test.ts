import { assert, describe, it } from "@effect/vitest"
import type { Moment } from "../../src/internal/moment.ts"
import { TombstoneWatch, trustedFor } from "../../src/internal/log/tombstoneWatch.ts"

const at = (millis: number): Moment => ({ wall: millis, monotonic: millis })
const leader = { broker: 1, leaderEpoch: 4 }

/** A watch of a partition that has been read to its end by a question of the given time. */
const settled = (sent: number, retention = 1000): TombstoneWatch => {
  const watch = new TombstoneWatch()
  watch.observe(retention)
  watch.begin()
  watch.answered(leader, at(sent), at(sent))
  watch.ends(at(sent), 10, 10)
  return watch
}

describe("what is to be trusted of a partition", () => {
  it("is everything while nothing was read, wherever it is read from", () => {
    const watch = new TombstoneWatch()
    watch.observe(1000)
    watch.begin()
    assert.isTrue(watch.allows(2, 9))
    assert.isUndefined(watch.expired(at(1e9), 1000))
  })

  it("is one broker's log in one epoch until the end of the first answer has been reached, and any log after it", () => {
    const watch = new TombstoneWatch()
    watch.begin()
    watch.answered(leader, at(0), at(1))
    watch.ends(at(0), 10, 4)
    assert.isTrue(watch.allows(1, 4))
    assert.isFalse(watch.allows(2, 4))
    assert.isFalse(watch.allows(1, 5))
    watch.reached(9)
    assert.isFalse(watch.allows(2, 4))
    watch.reached(10)
    assert.isTrue(watch.allows(2, 5))
  })

  it("lasts for nine tenths of the retention, from the first question on and not from the newest", () => {
    const watch = new TombstoneWatch()
    watch.observe(1000)
    watch.begin()
    watch.answered(leader, at(100), at(110))
    watch.ends(at(100), 1000, 1)
    watch.answered(leader, at(800), at(810))
    watch.ends(at(800), 1000, 2)
    assert.isUndefined(watch.expired(at(999), 1))
    assert.strictEqual(watch.expired(at(100 + trustedFor(1000)), 1), 900)
  })

  it("lasts from the question whose end was reached, although newer ones end later", () => {
    const watch = settled(0)
    watch.answered(leader, at(500), at(510))
    watch.ends(at(500), 20, 15)
    watch.answered(leader, at(600), at(610))
    watch.ends(at(600), 30, 19)
    watch.reached(20)
    assert.isUndefined(watch.expired(at(1399), 1))
    assert.strictEqual(watch.expired(at(1400), 1), 900)
  })

  it("is not extended by an end below what was read, which a new leader may tell", () => {
    const watch = settled(0)
    watch.ends(at(500), 9, 10)
    assert.strictEqual(watch.expired(at(900), 1), 900)
  })

  it("goes by the clock that saw more of the time", () => {
    const watch = settled(0)
    assert.isUndefined(watch.expired({ wall: 10, monotonic: 10 }, 1))
    assert.strictEqual(watch.expired({ wall: -5000, monotonic: 900 }, 1), 900)
    assert.strictEqual(watch.expired({ wall: 900, monotonic: 5 }, 1), 900)
  })

  it("goes by the lowest retention that was observed since", () => {
    const watch = settled(0, 10_000)
    watch.observe(100)
    watch.observe(10_000)
    assert.strictEqual(watch.expired(at(90), 1), 90)
    watch.ends(at(80), 10, 10)
    assert.isUndefined(watch.expired(at(5000), 1))
  })

  it("is over where an answer came late for a retention that nobody knew of yet", () => {
    const watch = settled(0, 10_000)
    watch.answered(leader, at(500), at(510))
    watch.ends(at(500), 10, 10)
    watch.observe(400)
    assert.strictEqual(watch.expired(at(511), 1), 11)
  })

  it("lasts no longer than the old leader was known to be one, once there is another", () => {
    const watch = settled(800)
    watch.elected(at(50))
    assert.strictEqual(watch.expired(at(950), 1), 900)
  })

  it("goes by what is assumed where no retention was observed", () => {
    const watch = new TombstoneWatch()
    watch.begin()
    watch.answered(leader, at(0), at(1))
    assert.isUndefined(watch.expired(at(1e12), Number.POSITIVE_INFINITY))
    assert.strictEqual(watch.expired(at(900), 1000), 900)
  })
})
