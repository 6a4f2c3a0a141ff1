/** The store port, and the SQLite store. */
export * from './store.ts';
export { sqliteStore, type SqliteStoreOptions } from './sqlite/sqlite-store.ts';
