/** Numbers and times as the page says them. */

const whole = new Intl.NumberFormat("en-US")

export const count = (value: number): string => whole.format(value)

export const plural = (value: number, one: string, many = `${one}s`): string =>
  `${count(value)} ${value === 1 ? one : many}`

export const rate = (value: number): string =>
  value === 0 ? "0" : value < 10 ? value.toFixed(1) : count(Math.round(value))

/** How long ago, in as few letters as say it. */
export const ago = (millis: number): string => {
  const seconds = Math.floor(millis / 1000)
  if (seconds < 1) return "now"
  if (seconds < 60) return `${seconds} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes} min`
  return `${Math.floor(minutes / 60)} h`
}

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" })

export const time = (at: number): string => clock.format(at)
