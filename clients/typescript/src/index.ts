/** Client of Twinbeam's feature server: reads, pushes and the registry over HTTP. */

export { Client } from "./client.js";
export type { ClientOptions, Feature, Found, GetOptions, Keys, Limits, Pushed, PushOptions, Readiness, Search } from "./client.js";
export { Features } from "./features.js";
export type { Cell, Columns, Status } from "./features.js";
export type { Input } from "./json.js";
export {
  BadRequest,
  DeadlineExceeded,
  DefinitionChanged,
  NotFound,
  NotYetServed,
  Problem,
  TooLarge,
  TwinbeamError,
  Unauthorized,
  Unavailable,
  UnfitEvents,
  Unreachable,
} from "./problems.js";
export { dateOf, microsecondsOf } from "./times.js";
export type { Value } from "./values.js";
