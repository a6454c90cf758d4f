export { EcosystemJson, IGNORED_MANIFEST_KEYS, MANIFEST_FILE, MAX_DECLARED_STORES, PackIdentity } from "./ecosystem-json.ts";
export { DeclaredPermission, PERMISSIONS_FILE, PermissionsJson } from "./permissions-json.ts";
export { declaredRights } from "./declared-rights.ts";
export { DeclaredRoute, ROUTES_FILE, RoutesJson } from "./routes-json.ts";

export { checkPackId, isPackId, packIdShape, RESERVED_PACK_IDS, RESERVED_PACK_PREFIX } from "./pack-id.ts";
export type { PackIdCheck } from "./pack-id.ts";
export { discoverPacks, findManifest, LEGACY_FOLDER, locatePack, SKIPPED_FOLDERS } from "./discovery.ts";
export type { FoundPack, ManifestPlace } from "./discovery.ts";
export { MAX_PACK_JSON_DEPTH, readPack } from "./read-pack.ts";
export type { PackDescription, PackRead } from "./read-pack.ts";
export { loadOrder, packNeeds } from "./load-order.ts";
export type { PackNeeds } from "./load-order.ts";
export { MAX_BLOCK_PATH_BYTES, planBlockFile, runtimeOf } from "./block-file.ts";
export type { BlockFilePlan, BlockRuntime } from "./block-file.ts";
export { packError, packWarning } from "./problems.ts";
export type { PackErrorCode, PackProblem, PackWarningCode } from "./problems.ts";
export { FUNCTION_ENTRY_FILES, FUNCTION_FILE, FunctionId, FunctionJson, FUNCTIONS_FOLDER } from "./function-json.ts";
export { HANDLER_FILE, HANDLERS_FOLDER, HandlerJson } from "./handler-json.ts";
