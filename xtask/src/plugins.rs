//! Builds the plugins: Rust to a core module, core module to component.
//!
//! A component is made anew only when something that went into it changed: the module, the
//! contracts, or this program. A stamp beside the components holds a digest of those.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::{Context, Result, bail};
use cairn_componentize::{componentize, load_contracts, wit_parser::Resolve};
use sha2::{Digest, Sha256};

use crate::workspace::{Package, PluginKind, Workspace};
use crate::{artifacts, setup, shell};

/// Where stamps are kept, under the folder of components.
const STAMPS: &str = ".stamps";

/// A plugin as tests and people install it.
pub(crate) struct Component {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
}

/// A core module that cargo left, and the name its component gets.
struct Module {
    name: String,
    path: PathBuf,
    kind: PluginKind,
}

/// Builds every plugin of the workspace into `target/plugins` (those of tests into
/// `target/plugins/test`), and drops components of plugins that are gone.
pub(crate) fn build(workspace: &Workspace) -> Result<Vec<Component>> {
    remove_link(&workspace.plugins())?;
    let modules = compile(workspace)?;
    let mut components = Vec::new();
    for kind in [PluginKind::Bundled, PluginKind::Test] {
        let folder = folder(workspace, kind);
        let modules: Vec<&Module> = modules
            .iter()
            .filter(|module| module.kind == kind)
            .collect();
        components.extend(encode_all(workspace, &folder, &modules)?);
    }
    Ok(components)
}

fn folder(workspace: &Workspace, kind: PluginKind) -> PathBuf {
    match kind {
        PluginKind::Bundled => workspace.plugins(),
        PluginKind::Test => workspace.plugins().join("test"),
    }
}

/// A link here is from a build with another target folder: what it points at isn't ours to change.
fn remove_link(path: &Path) -> Result<()> {
    if path.is_symlink() {
        fs::remove_file(path).with_context(|| format!("can't remove {}", path.display()))?;
    }
    Ok(())
}

/// Forgetting the mark would leave a plugin out in silence.
fn name_unmarked(workspace: &Workspace) {
    for package in &workspace.packages {
        if package.has_cdylib && package.plugin.is_none() {
            println!(
                "{} has a cdylib but is not built as a plugin: its Cargo.toml lacks \
                 [package.metadata.cairn] plugin = true",
                package.name
            );
        }
    }
}

fn compile(workspace: &Workspace) -> Result<Vec<Module>> {
    name_unmarked(workspace);
    let packages: Vec<&Package> = workspace
        .packages
        .iter()
        .filter(|package| package.plugin.is_some())
        .collect();
    if packages.is_empty() {
        return Ok(Vec::new());
    }
    let mut cargo = shell::cargo(&workspace.root);
    cargo.args([
        "build",
        "--profile",
        "plugin",
        "--target",
        "wasm32-unknown-unknown",
    ]);
    cargo.args(["--lib", "--examples"]);
    for package in packages {
        cargo.args(["--package", &package.name]);
    }
    setup::lend_wasm_std(workspace, &mut cargo)?;
    let mut modules = Vec::new();
    for artifact in artifacts::build(workspace, &mut cargo)? {
        let Some(kind) = artifact.package.plugin else {
            continue;
        };
        let wasm = artifact
            .files
            .iter()
            .find(|file| file.extension().is_some_and(|e| e == "wasm"));
        if let Some(path) = wasm {
            let name = artifact.name.replace('-', "_");
            modules.push(Module {
                name,
                path: path.clone(),
                kind,
            });
        }
    }
    Ok(modules)
}

fn encode_all(workspace: &Workspace, folder: &Path, modules: &[&Module]) -> Result<Vec<Component>> {
    let stamps = folder.join(STAMPS);
    fs::create_dir_all(&stamps).with_context(|| format!("can't make {}", stamps.display()))?;
    let common = digest_of_what_all_share(&workspace.contracts())?;
    let mut contracts = None;
    let mut components = Vec::new();
    for module in modules {
        let path = folder.join(format!("{}.wasm", module.name));
        let stamp = stamps.join(&module.name);
        let core = fs::read(&module.path)
            .with_context(|| format!("can't read {}", module.path.display()))?;
        let digest = hex::encode(
            Sha256::new()
                .chain_update(common)
                .chain_update(&core)
                .finalize(),
        );
        if !path.exists() || fs::read_to_string(&stamp).ok().as_deref() != Some(&digest) {
            let contracts = match &contracts {
                Some(contracts) => contracts,
                None => contracts.insert(load_contracts(&workspace.contracts())?),
            };
            encode(&core, contracts, &path).with_context(|| format!("plugin {}", module.name))?;
            replace(&stamp, digest.as_bytes())?;
        }
        let bytes = fs::metadata(&path)
            .map(|metadata| metadata.len())
            .unwrap_or_default();
        components.push(Component { path, bytes });
    }
    drop_gone(folder, &stamps, modules)?;
    Ok(components)
}

fn encode(core: &[u8], contracts: &Resolve, path: &Path) -> Result<()> {
    let component = componentize(core, contracts)?;
    replace(path, &component)
}

/// Puts a file in place at once: a test that runs meanwhile sees the old or the new one, whole.
fn replace(path: &Path, content: &[u8]) -> Result<()> {
    let partial = path.with_extension("partial");
    fs::write(&partial, content)
        .and_then(|()| fs::rename(&partial, path))
        .with_context(|| format!("can't write {}", path.display()))
}

fn drop_gone(folder: &Path, stamps: &Path, modules: &[&Module]) -> Result<()> {
    for entry in fs::read_dir(stamps).with_context(|| format!("can't read {}", stamps.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if modules.iter().any(|module| module.name == name) {
            continue;
        }
        match fs::remove_file(folder.join(format!("{name}.wasm"))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                bail!("can't remove the component of the plugin {name}, which is gone: {error}")
            }
            _ => fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}

/// The contracts' text, and this program's size and age, which stand for its code.
fn digest_of_what_all_share(contracts: &Path) -> Result<[u8; 32]> {
    let mut digest = Sha256::new();
    let mut files = Vec::new();
    crate::documents::walk(contracts, &mut |path| {
        if path.extension().is_some_and(|extension| extension == "wit") {
            files.push(path.to_path_buf());
        }
    })?;
    files.sort();
    for file in files {
        let text = fs::read(&file).with_context(|| format!("can't read {}", file.display()))?;
        digest.update((text.len() as u64).to_le_bytes());
        digest.update(text);
    }
    let own = fs::metadata(env::current_exe()?)?;
    let age = own
        .modified()?
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    digest.update(own.len().to_le_bytes());
    digest.update(age.as_nanos().to_le_bytes());
    Ok(digest.finalize().into())
}
