export { containedPath } from "./contained-path.ts";
export { FolderHandle } from "./folder-handle.ts";
export { ensureFolder, PRIVATE_FOLDER_MODE, syncFolder, syncParent } from "./folder.ts";
export { PRIVATE_FILE_MODE, writeFileAtomic } from "./atomic-write.ts";
export { readFileBytes } from "./read-file.ts";
export { parseJsonBytes, readJsonFile } from "./json-file.ts";
export type { JsonLimits } from "./json-file.ts";

export { copyTree, hashTree } from "./tree.ts";
export type { TreeOptions } from "./tree-walk.ts";
export { createTreeListing, treeDigest } from "./tree-digest.ts";
export type { TreeEntry, TreeListing } from "./tree-digest.ts";
export { TREE_LIMITS } from "./tree-path.ts";
export type { TreeLimits } from "./tree-path.ts";
export { statTree } from "./stat-tree.ts";
export { removeTree } from "./remove-tree.ts";

export { hasSignedFiles, Keyring } from "./keyring.ts";
export type { KeyringOptions, Verified } from "./keyring.ts";
export { SignedFiles } from "./signed-files.ts";
export type { SealedRead, SignedFilesDeps, SignedRead, TamperReason, Unsealed } from "./signed-files.ts";

export { databaseFailure, SqliteFile } from "./sqlite-file.ts";
export type { SqliteSchema } from "./sqlite-file.ts";
export { AppendFile } from "./append-file.ts";
export { AppendLog } from "./append-log.ts";
export { lockHome } from "./home-lock.ts";
export type { HomeHolder, HomeLock } from "./home-lock.ts";

export { SafeFilesError } from "./errors.ts";
export type { SafeFilesErrorCode, TreeRule } from "./errors.ts";
