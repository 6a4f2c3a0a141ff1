// The reference server on its standard streams. Appends its process id to the file named by JOURNAL, so that a test can count and end its processes.
import { appendFileSync } from 'node:fs';

appendFileSync(process.env['JOURNAL'] ?? '', `started ${process.pid}\n`);
process.argv[2] = 'stdio';
const server = '@modelcontextprotocol/server-everything/dist/index.js';
await import(server);
