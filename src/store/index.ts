/** The store port, and the stores. */
export * from './store.ts';
export { sqliteStore, type SqliteStoreOptions } from './sqlite/sqlite-store.ts';
export { postgresStore, type PostgresStoreOptions } from './postgres/postgres-store.ts';
export type { Dialect } from './postgres/dialect.ts';
export type { PostgresClient, PostgresPool } from './postgres/open-database.ts';
