import { openApiDocument } from '../openapi-document.ts';
import type { Route } from '../route.ts';
import { actionRoutes } from './actions.ts';
import { agentRoutes } from './agents.ts';
import { compactionRoutes } from './compaction.ts';
import { documentationRoutes } from './documentation.ts';
import { entryRoutes } from './entries.ts';
import { eventRoutes } from './events.ts';
import { exportRoutes } from './export.ts';
import { healthRoutes } from './health.ts';
import { historyRoutes } from './history.ts';
import { messageRoutes } from './messages.ts';
import { nodeRoutes } from './nodes.ts';
import { operationRoutes } from './operations.ts';
import { pageRoutes } from './page.ts';
import { queueRoutes } from './queue.ts';
import { sessionRoutes } from './sessions.ts';
import { stateRoutes } from './state.ts';
import { turnRoutes } from './turns.ts';
import { usageRoutes } from './usage.ts';

/** Every route there is: what the app serves and what the OpenAPI document says. Of two that fit, the first answers. */
export const routeTable: readonly Route[] = [
  ...sessionRoutes,
  ...messageRoutes,
  ...entryRoutes,
  ...eventRoutes,
  ...exportRoutes,
  ...turnRoutes,
  ...historyRoutes,
  ...nodeRoutes,
  ...compactionRoutes,
  ...queueRoutes,
  ...actionRoutes,
  ...operationRoutes,
  ...stateRoutes,
  ...usageRoutes,
  ...agentRoutes,
  ...healthRoutes,
  ...documentationRoutes(() => openApiDocument(routeTable)),
  ...pageRoutes,
];
