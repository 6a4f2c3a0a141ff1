/** What tests of Holdfast, and of agents built on it, are made with: a clock that only they move, a model that says what they wrote, the suite for stores. */
export * from './fake-system.ts';
export * from './gate.ts';
export * from './scripted-model.ts';
export { storeConformance, type ConformanceOptions, type Expectation, type OpenConformanceStore, type OpenedStore, type TestApi } from '../store/conformance.ts';
