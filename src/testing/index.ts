/** What tests of Holdfast, and of agents built on it, are made with: a clock that only they move, a model that says what they wrote, a process that dies at any call of its store, whole systems under simulation, the suite for stores. */
export * from './crash-everywhere.ts';
export * from './crash-store.ts';
export * from './fake-system.ts';
export * from './gate.ts';
export * from './scripted-model.ts';
export { simulate, type SimulateOptions, type SimulationFailure, type SimulationReport } from './simulation/simulate.ts';
export { describeFailure, describeReport, type SayAgain } from './simulation/describe-report.ts';
export { allCommands } from './simulation/commands/all-commands.ts';
export {
  answersActions, begins, retries, rewinds, sends, stops, type AnswersOptions, type BeginsOptions, type SaidText, type Weighted,
} from './simulation/commands/own-commands.ts';
export type { Chance } from './simulation/chance.ts';
export type { Check, MakeCheck, WatchedWorld } from './simulation/check.ts';
export type { CommandScope, SimulatedCommand } from './simulation/command.ts';
export type { Met } from './simulation/met.ts';
export type { AgentsOf, AgentSurroundings } from './simulation/observed-agents.ts';
export type { FaultKind, Kept, Weather } from './simulation/plan.ts';
export type { SeedRun } from './simulation/run-seed.ts';
export { storeConformance, type ConformanceOptions, type Expectation, type OpenConformanceStore, type OpenedStore, type TestApi } from '../store/conformance.ts';
export type { Answered, Committed, Heard, HttpCall, SentRequest, ToolRun, Violated, Violation } from './simulation/happenings.ts';
