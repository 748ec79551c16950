found = skills.list_files(pattern="**")
largest = max(found["files"], key=lambda file: file["size_bytes"], default=None)
print(f"{found['found']} entries, the largest file is {largest and largest['path']}")
result = {"entries": found["found"], "largest": largest}
